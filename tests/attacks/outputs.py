"""Attacks by outputs: places that a job must not write to, and files of others."""

import json
from typing import Any

import httpx

from tests.attacks.attack import Target, attack, picture, problem


def _submit(target: Target, **output: Any) -> httpx.Response:
    image = target.put(f"{target.prefix()}a.png", picture())
    given = {"uri": f"s3://{target.stack.bucket}/out/", "formats": ["jsonl"]} | output
    return target.submit({"model": "null", "input": {"items": [{"image": image}]}, "output": given})


@attack("an output to s3://bucket/out/../../other/, //, ., a port, a password", "422 NOT_SUPPORTED")
def traversal(target: Target) -> str:
    bucket = target.stack.bucket
    for uri in (
        f"s3://{bucket}/out/../../other/",
        f"s3://{bucket}/..",
        f"s3://{bucket}/./out/",
        f"s3://{bucket}//out/",
        f"s3://{bucket}/out/\u0000/",
        f"s3://{bucket}/out/\r\nx-amz-acl: public-read/",
        f"s3://{bucket}:9000/out/",
        f"s3://who:secret@{bucket}/out/",
        f"s3://{bucket}/../{bucket}/",
        "file:///etc/",
        "http://169.254.169.254/out/",
    ):
        problem(_submit(target, uri=uri), 422, "INVALID_REQUEST")
    return "422 for each"


@attack("an output to a bucket that may not be written", "422 NOT_SUPPORTED")
def forbidden_bucket(target: Target) -> str:
    return problem(_submit(target, uri="s3://elsewhere/out/"), 422, "BUCKET_NOT_ALLOWED")


@attack("formats that are paths, unknown, doubled or ten thousand", "422 NOT_SUPPORTED")
def odd_formats(target: Target) -> str:
    for formats in (["../coco"], ["coco/../../x"], ["coco", "coco"], ["coco\u0000"], [], ["coco"] * 10_000):
        problem(_submit(target, formats=formats), 422, "INVALID_REQUEST")
    return "422 for each"


@attack("an output over objects that are there: images, the output of another job", "422 NOT_SUPPORTED")
def overwriting(target: Target) -> str:
    """Each job has a folder of its own, so what was there stays."""
    prefix = target.prefix()
    kept = {f"{prefix}manifest.json": b"mine", f"{prefix}jsonl/00000-1.jsonl": b"mine too"}
    for key, content in kept.items():
        target.put(key, content)
    folders = set()
    for _ in range(2):
        answer = _submit(target, uri=f"s3://{target.stack.bucket}/{prefix}")
        assert answer.status_code == 202, answer.text
        job = target.done(answer.json()["id"])
        while job["output"]["state"] in ("pending", "writing"):
            job = target.http.get(f"/v1/jobs/{job['id']}").json()
        assert job["output"]["state"] == "complete", job
        folders.add(job["output"]["manifest"])
    for key, content in kept.items():
        assert target.s3.get_object(Bucket=target.stack.bucket, Key=key)["Body"].read() == content
    assert len(folders) == 2
    return json.dumps(sorted(folders))
