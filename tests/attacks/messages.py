"""Attacks by malformed messages in Redis."""

import json
import time

import redis

from tests.attacks.attack import Target, attack

QUEUE = "chunks.null"


@attack("malformed messages in a worker's queue", "'Unrecoverable error': each ends a worker, the body 5 for ever")
def malformed(target: Target) -> str:
    client = redis.Redis.from_url(target.stack.stores.redis_url)
    pid = target.stack.supervisor.pid("worker-1")
    properties = {
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "delivery_mode": 2,
        "delivery_tag": "t",
        "body_encoding": "base64",
    }
    envelope = {
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {},
        "properties": properties,
    }
    headers = {"task": "maskworks.segment_chunk", "id": "1"}
    changes: list[dict[str, object]] = [
        {"body": "NQ=="},
        {"body": "bnVsbA==", "headers": headers},
        {"body": "gASVCg==", "content-type": "application/x-python-serialize"},
        {"body": 5, "properties": 7},
    ]
    poison = [b"garbage", b"5", b"null", b"{}", b"[]", b"\xff\xfe"]
    poison += [json.dumps(envelope | change).encode() for change in changes]
    for message in poison:
        client.lpush(QUEUE, message)
        time.sleep(0.3)
    target.works()
    assert target.stack.supervisor.pid("worker-1") == pid, "the worker was restarted"
    if client.llen(QUEUE):
        time.sleep(5)
    assert client.llen(QUEUE) == 0
    return f"{len(poison)} messages dropped; the worker (pid {pid}) went on and finished a job"
