"""Celery's Redis transport for the messages of `workers.broker`.

Celery gets a task message that is made here from the chunk's name. No header, content type or body from Redis reaches
it, so a malformed message cannot end a worker. A message that names no chunk is dropped and logged.
"""

import base64
import json
import logging
import uuid
from typing import Any, Final

import redis
from kombu.transport import redis as kombu_redis

from workers.broker import Chunk, chunk_of

log = logging.getLogger(__name__)

TASK_NAME: Final = "maskworks.segment_chunk"
_SHOWN: Final = 200
"""Bytes of a dropped message in the log."""


def task_message(queue: str, chunk: Chunk) -> bytes:
    """A call of the task in Celery's message protocol, version 2."""
    name = str(uuid.uuid4())
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[str(chunk[0]), chunk[1]], {}, embedded]).encode()
    headers = {"lang": "py", "task": TASK_NAME, "id": name, "root_id": name, "parent_id": None, "group": None}
    properties = {
        "correlation_id": name,
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
    }
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(envelope).encode()


class _Client(redis.Redis):
    """A Redis client whose BRPOP answers with a call of the task or with nothing."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        response = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not response:
            return response
        key, raw = response
        chunk = chunk_of(raw)
        if chunk is None:
            log.error("dropped a message in %r that names no chunk: %r", key, raw[:_SHOWN])
            return None
        queue = key.decode().partition(kombu_redis.Channel.sep)[0]
        return [key, task_message(queue, chunk)]


class _Channel(kombu_redis.Channel):
    do_restore = False
    """Nothing is put back into Redis. A message that was taken and not served is sent again by the dispatcher."""

    def _get_client(self) -> type[_Client]:
        super()._get_client()  # type: ignore[no-untyped-call]  # checks the version of redis-py
        return _Client


class Transport(kombu_redis.Transport):
    """Named by the setting `broker_transport`."""

    Channel = _Channel
