"""Clients that are cut off in the middle of a submit: nothing of a half body stays.

A repeat with the same Idempotency-Key makes one job, whichever byte was the last to arrive.
"""

import json
import socket
import struct
import time
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.faults.cluster import Cluster, until

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_NULL_DELAY": "0.005"}
ITEMS = 400
JSON, JSON_LINES = "application/json", "application/x-ndjson"


def body(cluster: Cluster, kind: str) -> bytes:
    job = {"model": "null", "task": {"type": "auto"}}
    items = [{"custom_id": f"item-{i}", "image": image} for i, image in enumerate(cluster.images(ITEMS))]
    if kind == JSON:
        return json.dumps({**job, "input": {"items": items}}).encode()
    return b"".join(json.dumps(line).encode() + b"\n" for line in (job, *items))


def send_and_vanish(cluster: Cluster, kind: str, key: str, sent: bytes, length: int) -> None:
    """A request whose last bytes never come: the connection is reset, as when a machine loses its power.

    JSON says its length beforehand, lines come in chunks, as streams do.
    """
    address = urlsplit(cluster.stack.api_url)
    framing = f"Content-Length: {length}" if kind == JSON else "Transfer-Encoding: chunked"
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {cluster.stack.api_key}\r\n"
        f"Content-Type: {kind}\r\nIdempotency-Key: {key}\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(head.encode())
        for block in (sent[i : i + 4096] for i in range(0, len(sent), 4096)):
            connection.sendall(block if kind == JSON else b"%x\r\n%s\r\n" % (len(block), block))
        time.sleep(0.05)  # so that the server reads before it learns of the reset


def stored(cluster: Cluster, key: str) -> tuple[int, int]:
    """Jobs of this key, and all their items."""
    names = "FROM jobs WHERE idempotency_key = :key"
    jobs = cluster.ask(f"SELECT count(*) {names}", key=key)
    items = cluster.ask(f"SELECT count(*) FROM items WHERE job_id IN (SELECT id {names})", key=key)
    return int(jobs), int(items)


def repeat(client: httpx.Client, kind: str, key: str, content: bytes) -> httpx.Response:
    return client.post("/v1/jobs", content=content, headers={"Content-Type": kind, "Idempotency-Key": key})


def everything(cluster: Cluster) -> tuple[int, int]:
    return int(cluster.ask("SELECT count(*) FROM jobs")), int(cluster.ask("SELECT count(*) FROM items"))


@pytest.mark.parametrize("kind", [JSON, JSON_LINES])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999], ids=["first bytes", "half", "all but the last"])
def test_cut_off_in_the_middle(cluster: Cluster, kind: str, share: float) -> None:
    content, key = body(cluster, kind), uuid4().hex
    before = everything(cluster)
    send_and_vanish(cluster, kind, key, content[: int(len(content) * share)], len(content))
    with cluster.stack.client() as client:
        assert client.get("/healthz").status_code == 200
        assert everything(cluster) == before, "something of half a body was stored"
        answer = repeat(client, kind, key, content)
        assert answer.status_code == 202, answer.text
        assert answer.json()["counts"]["total"] == ITEMS and stored(cluster, key) == (1, ITEMS)
        shown = client.get(answer.headers["Location"], params={"wait": 40}).json()
        assert shown["state"] == "succeeded"


def test_cut_off_before_the_answer(cluster: Cluster) -> None:
    """The whole body arrived; whether its job was made is not known to the client, who asks again."""
    content = body(cluster, JSON)
    for _ in range(8):
        key = uuid4().hex
        send_and_vanish(cluster, JSON, key, content, len(content))
        with cluster.stack.client() as client:
            first, second = (repeat(client, JSON, key, content) for _ in range(2))
            assert first.status_code == second.status_code == 202, first.text
            assert first.json()["id"] == second.json()["id"] and stored(cluster, key) == (1, ITEMS)
            assert client.post(f"{first.headers['Location']}:cancel").status_code == 200


def test_a_cut_off_client_is_no_error_of_ours(cluster: Cluster) -> None:
    log = cluster.stack.folder.logs / "api.log"
    written = len(log.read_text())
    content, key = body(cluster, JSON), uuid4().hex
    send_and_vanish(cluster, JSON, key, content[:5000], len(content))
    with cluster.stack.client() as client:
        repeat(client, JSON, key, content)
    until("the repeat in the log", 10, lambda: "submitted by" in log.read_text()[written:])
    assert "Traceback" not in log.read_text()[written:]
