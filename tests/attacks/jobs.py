"""Attacks on retries of jobs and on their event streams."""

from contextlib import ExitStack

import httpx

from tests.attacks.attack import Target, attack, picture, problem
from tests.attacks.tenants import new_client

NO_JOB = "job_0198a3c2f0b47d21a5e94c0b6f3d8e17"


def _failed(target: Target) -> str:
    """A job that is done, whose one item failed."""
    return str(target.items(f"s3://{target.stack.bucket}/{target.prefix()}none.png", model="null")["id"])


@attack("retries by ids that are SQL, floats, huge, negative, ten thousand and one, nested", "not built: 404")
def retry_bodies(target: Target) -> str:
    url = f"/v1/jobs/{_failed(target)}:retry"
    ids = ("0; DROP TABLE jobs", "0 OR 1=1", "1e3", "-1", "0x0", "9" * 40, "٣", "1٣", "")
    bodies = [
        *({"items": [each]} for each in ids),
        {"items": [0.0]},
        {"items": {"0": 1}},
        {"items": "0"},
        {"all": True},
    ]
    bodies += [{"include": ["succeeded"]}, {"include": ["cancelled"] * 1000}, {"items": ["0"] * 10_001}]
    said = [problem(target.http.post(url, json=body), 422) for body in bodies]
    for raw in (b"[" * 100_000, b'{"items":' * 5000, b"\xff\xfe", b"null", b'"0"'):
        answer = target.http.post(url, content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text[:300]
    assert target.http.post(url, json={"items": ["0"]}).status_code == 202
    return f"{len(said)} bodies refused, as {said[0]}; the item itself is retried"


@attack("another tenant retries, follows and deletes a job, and asks for its webhook", "404, as it must be")
def another_tenants(target: Target) -> str:
    job = f"/v1/jobs/{_failed(target)}"
    calls = [("POST", f"{job}:retry"), ("GET", f"{job}/events"), ("DELETE", job), ("GET", f"{job}/webhook")]
    calls.append(("POST", f"{job}/webhook:redeliver"))
    with new_client(target, "foreign") as http:
        said = [http.request(*call).json() for call in calls]
        there_is_none = http.post(f"/v1/jobs/{NO_JOB}:retry").json()
    assert {each["reason"] for each in said} == {"JOB_NOT_FOUND"}, said
    assert said[0]["detail"].replace(job.rsplit("/", 1)[1], NO_JOB) == there_is_none["detail"], said[0]
    assert target.http.get(job).status_code == 200
    return f"{len(said)} calls: {said[0]['detail']}, as for a job that there is not"


@attack("Last-Event-ID of 8 kB, with quotes, with a forged event in it", "not built: 404")
def event_ids(target: Target) -> str:
    job = _failed(target)
    said = problem(target.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "x" * 8000}), 422)
    for known in ('"', "event: done", "id: 1 data: {}", "*", "W/*", "%0d%0aevent: forged"):
        stream = target.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": known}).text
        assert stream.count("event: ") == 1 and "forged" not in stream, stream
    return f"{said}; the others are ids like any other that is not known"


@attack("names that forge an event in a stream: eight ways to end a line", "not built: 404")
def event_data(target: Target) -> str:
    items = {"items": [{"image": target.put(f"{target.prefix()}a.png", picture())}]}
    ends = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
    said = [problem(target.submit({"model": "null", "input": items, "name": f"a{end}data: {{}}"}), 422) for end in ends]
    return f"{len(said)} names refused, as {said[-1]}"


@attack("501 event streams of one tenant, all left open", "not built: 404")
def event_streams(target: Target) -> str:
    long = {"model": "null", "input": {"items": [{"image": f"s3://{target.stack.bucket}/none.png"}] * 20_000}}
    job = target.submit(long).json()["id"]
    with ExitStack() as opened:
        many = httpx.Limits(max_connections=None)
        http = httpx.Client(base_url=target.http.base_url, headers=target.http.headers, timeout=60, limits=many)
        opened.enter_context(http)
        for _ in range(500):
            stream = opened.enter_context(http.stream("GET", f"/v1/jobs/{job}/events"))
            assert stream.status_code == 200, stream.status_code
        said = problem(http.get(f"/v1/jobs/{job}/events"), 429, "TOO_MANY_FOLLOWERS")
        with new_client(target, "calm") as calm:
            their_job = calm.post("/v1/jobs", json={"task": {"type": "auto"}} | long).json()["id"]
            with calm.stream("GET", f"/v1/jobs/{their_job}/events") as stream:
                assert stream.status_code == 200, stream.status_code
            assert calm.post(f"/v1/jobs/{their_job}:cancel").status_code == 200
        assert http.post(f"/v1/jobs/{job}:cancel").status_code == 200
    return f"{said}; another tenant's stream begins"
