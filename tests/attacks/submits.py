"""Attacks by bodies, numbers and page tokens."""

import gzip
import json

from tests.attacks.attack import Target, attack, picture, problem


@attack("an image URI without a slash: s3://images", "'with a valid bucket name': the missing slash is not named")
def missing_slash(target: Target) -> str:
    answer = target.submit({"input": {"items": [{"image": "s3://images"}]}})
    said = problem(answer, 422)
    assert "s3://bucket/key" in said, said
    return said


@attack("versions that name other parameters or no version", "taken for a part of the key")
def versions(target: Target) -> str:
    said = []
    for version in ("", "a&partNumber=1", "a?versionId=b", "%2e%2e", "a b", "a\u2028"):
        body = {"input": {"items": [{"image": f"s3://images/a.jpg?versionId={version}"}]}}
        said.append(problem(target.submit(body), 422))
        assert "/input/items/0/image" in said[-1], said
    problem(target.submit({"input": {"prefix": "s3://images/p/?versionId=a"}}), 422)
    return "; ".join(said)


@attack("a label key with a space", "the pointer was /labels/my key/[key]")
def label_key(target: Target) -> str:
    said = problem(target.submit({"labels": {"my key": "7"}, "input": {"items": [{"image": "s3://b/k"}]}}), 422)
    assert '"/labels/my key"' in said, said
    return said


@attack("two points and one label", "the pointer was the prompt's")
def labels_mismatch(target: Target) -> str:
    prompts = [{"points": [[1, 1], [2, 2]], "labels": [1]}]
    body = {"task": {"type": "prompted"}, "input": {"items": [{"image": "s3://images/a", "prompts": prompts}]}}
    said = problem(target.submit(body), 422)
    assert "/input/items/0/prompts/0/labels" in said, said
    return said


@attack("257 points in a prompt", "'Tuple should have at most 256 items after validation'")
def too_many_points(target: Target) -> str:
    prompts = [{"points": [[1, 1]] * 257, "labels": [1] * 257}]
    body = {"task": {"type": "prompted"}, "input": {"items": [{"image": "s3://images/a", "prompts": prompts}]}}
    said = problem(target.submit(body), 422)
    assert "Tuple" not in said and "256" in said, said
    return said


@attack("validate_only with a bucket that is not allowed", "valid: true")
def validate_bucket(target: Target) -> str:
    body = {"validate_only": True, "input": {"items": [{"image": "s3://elsewhere/a.jpg"}]}}
    answer = target.submit(body).json()
    assert answer["valid"] is False, answer
    return json.dumps(answer)[:300]


@attack("validate_only with 100,001 items", "valid: false, invalid: 0")
def validate_many(target: Target) -> str:
    items = [{"image": f"s3://images/{i}.jpg"} for i in range(100_001)]
    answer = target.submit({"validate_only": True, "input": {"items": items}}).json()
    assert answer["valid"] is False and answer["counts"]["invalid"] != 0, answer
    return json.dumps(answer)[:300]


@attack("page_token of 2³¹−1", "500")
def page_token(target: Target) -> str:
    job = target.items(target.put(f"{target.prefix()}a.png", picture()), model="null")
    said = []
    for number in (2**31 - 2, 2**31 - 1, 2**31, 2**63):
        token = f"{number:08x}"
        for path in ("items", "items/0/masks"):
            answer = target.http.get(f"/v1/jobs/{job['id']}/{path}", params={"page_token": token})
            assert answer.status_code < 500, answer.text
            said.append(answer.status_code)
    return f"{said}"


@attack("deadlines at the edge of what a clock can say", "500")
def deadlines(target: Target) -> str:
    said = []
    for at in (
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+23:59",
        "2030-02-30T00:00:00Z",
    ):
        answer = target.submit(
            {"deadline": at, "validate_only": True, "input": {"items": [{"image": "s3://images/a"}]}}
        )
        assert answer.status_code < 500, answer.text
        said.append(answer.status_code)
    return f"{said}"


@attack("990 nested arrays in a body", "500: RecursionError")
def nesting(target: Target) -> str:
    said = []
    for depth in (100, 990, 100_000):
        for body in (
            "[" * depth + "]" * depth,
            '{"task":' * depth + "1" + "}" * depth,
            '{"input": {"prefix": "\\u0000", "x": ' + "[" * depth + "]" * depth + "}}",
        ):
            answer = target.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
            problem(answer, 422)
            said.append(answer.status_code)
    return f"{said}"


@attack("a gzip body, and a gzip bomb", "422 'not valid JSON'")
def gzip_bodies(target: Target) -> str:
    good = json.dumps({"task": {"type": "auto"}, "validate_only": True, "input": {"prefix": "s3://images/"}}).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = target.http.post("/v1/jobs", content=gzip.compress(good), headers=headers)
    assert answer.status_code == 200, answer.text
    bomb = gzip.compress(b" " * (200 << 20))
    said = problem(target.http.post("/v1/jobs", content=bomb, headers=headers), 413)
    other = problem(target.http.post("/v1/jobs", content=good, headers=headers | {"Content-Encoding": "br"}), 415)
    return f"200; {said}; {other}"


@attack("lines that are too long, deep, cut, or smuggle a second item; a gzip bomb of lines", "422 NOT_SUPPORTED")
def hostile_lines(target: Target) -> str:
    headers = {"Content-Type": "application/x-ndjson"}
    job, item = b'{"model": "null", "task": {"type": "auto"}}\n', b'{"image": "s3://images/a.jpg"}'
    said = []
    for line in (
        b'{"image": "' + b"a" * (2 << 20) + b'"}',
        b'{"a":' * 990 + b"1" + b"}" * 990,
        b"[" * 100_000,
        item + b"," + item,
        b'{"image": "s3://images/../a.jpg"}',
        b'{"image": "s3://elsewhere/a.jpg"}',
        b'{"image": "s3://images/a.jpg", "custom_id": "a\\u0000"}',
        b"\x00",
    ):
        said.append(problem(target.http.post("/v1/jobs", content=job + line, headers=headers), 422)[:60])
    packed = headers | {"Content-Encoding": "gzip"}
    for filler, status in ((b" ", 413), (b"\n", 422)):
        bomb = gzip.compress(job + filler * (1200 << 20), 1)
        said.append(problem(target.http.post("/v1/jobs", content=bomb, headers=packed), status)[:60])
    return "; ".join(said)


@attack("manifests that are a gzip bomb, a picture, in a forbidden bucket, or lead out of theirs", "422 NOT_SUPPORTED")
def hostile_manifests(target: Target) -> str:
    prefix, said = target.prefix(), []
    good = f'{{"image": "{target.put(f"{prefix}a.png", picture())}"}}\n'.encode()
    for name, content in {"bomb.jsonl.gz": gzip.compress(b"0" * (200 << 20)), "picture.csv": picture()}.items():
        answer = target.submit({"model": "null", "input": {"manifest": target.put(prefix + name, content)}})
        job = target.done(answer.json()["id"])
        assert (job["state"], job["error"]["reason"]) == ("failed", "INPUT_UNREADABLE"), job
        said.append(job["error"]["detail"][:80])
    for uri in (
        "s3://elsewhere/m.jsonl",
        "s3://images/../m.jsonl",
        "file:///etc/m.csv",
        "http://169.254.169.254/m.csv",
    ):
        said.append(problem(target.submit({"input": {"manifest": uri}}), 422)[:60])
    lines = good + b'{"image": "s3://elsewhere/a.png"}\n{"image": "s3://images/../../a.png"}\n' + b"[" * 100_000 + b"\n"
    answer = target.submit({"model": "null", "input": {"manifest": target.put(f"{prefix}m.jsonl", lines)}})
    job = target.done(answer.json()["id"])
    reasons = {failure["reason"]: failure["count"] for failure in job["failures"]}
    assert (job["counts"]["succeeded"], reasons) == (1, {"BUCKET_NOT_ALLOWED": 1, "INVALID_MANIFEST_LINE": 2}), job
    return "; ".join([*said, str(reasons)])
