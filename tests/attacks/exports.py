"""Attacks on downloads of results."""

import json
import socket

from tests.attacks.attack import Target, attack, picture


@attack(
    "COCO of a job with failed items and two items on one image",
    "valid without a word; one file_name twice; no failed item",
)
def coco(target: Target) -> str:
    uri = target.put(f"{target.prefix()}a.png", picture(64, 96))
    job = target.items(uri, uri, f"s3://{target.stack.bucket}/none.png", model="null")
    answer = target.http.get(f"/v1/jobs/{job['id']}/results", params={"format": "coco"})
    body = answer.json()
    names = [image["file_name"] for image in body["images"]]
    assert answer.headers["x-job-state"] == "partially_succeeded", answer.headers
    assert len(names) == 2 == len(set(names)), names
    assert "OBJECT_NOT_FOUND" in json.dumps(body) and all(a["area"] for a in body["annotations"])
    last = json.loads(target.http.get(f"/v1/jobs/{job['id']}/results").text.splitlines()[-1])
    assert "partially_succeeded" in json.dumps(last), last
    return (
        f"X-Job-State: {answer.headers['x-job-state']}; info: {body['info']}; jsonl ends with {json.dumps(last)[:200]}"
    )


@attack("a download of a job that still runs", "looked complete")
def running(target: Target) -> str:
    uris = [target.put(f"{target.prefix()}{i}.png", picture()) for i in range(3)]
    answer = target.submit({"model": "null", "input": {"items": [{"image": uri} for uri in uris]}})
    job_id = answer.json()["id"]
    state = target.http.get(f"/v1/jobs/{job_id}/results", params={"format": "coco"}).headers["x-job-state"]
    target.done(job_id)
    return f"X-Job-State: {state}"


@attack("eight readers that stop reading, then one more", "503 for every export of every tenant")
def slow_readers(target: Target) -> str:
    prefix = target.prefix()
    uri = target.put(f"{prefix}a.png", picture(256, 256))
    job = target.items(*[uri] * 2000, model="null")
    host, port = target.stack.listener.getsockname()
    request = (
        f"GET /v1/jobs/{job['id']}/results HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.stack.api_key}\r\n\r\n"
    )
    readers = []
    for _ in range(8):
        reader = socket.create_connection((host, port))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(request.encode())
        readers.append(reader)
    try:
        other = target.http.get(f"/v1/jobs/{job['id']}/items", params={"page_size": 1000})
        answer = target.http.get(f"/v1/jobs/{job['id']}/results", params={"format": "coco"})
        assert other.status_code == 200 and answer.status_code in (200, 429), answer.text[:300]
    finally:
        for reader in readers:
            reader.close()
    return f"items: {other.status_code}, the ninth export: {answer.status_code}"
