"""Celery's Redis transport, made safe against what others may write into our lists.

A message names one chunk: `chunk_of` reads it, and a message that it cannot read is dropped and logged. Celery never
sees the message itself but a new one made from the chunk's name, so no header, content type or body from Redis reaches
it. Without this, one malformed message ends the worker that takes it.
"""

import base64
import json
import logging
import uuid
from typing import Any, Final
from uuid import UUID

import redis
from kombu.transport import redis as kombu_redis

from db.states import TASK_NAME

log = logging.getLogger(__name__)

_SHOWN: Final = 200
"""Bytes of a dropped message in the log."""
_MOST_CHUNKS: Final = 2**31
"""`chunks.chunk_no` is a Postgres integer."""


def chunk_of(raw: bytes) -> tuple[UUID, int] | None:
    """The chunk that a message of ours names. None: not one of ours."""
    try:
        message = json.loads(raw)
        job, chunk = json.loads(base64.b64decode(message["body"]))[0]
        job_id = UUID(job)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return (job_id, chunk) if isinstance(chunk, int) and 0 <= chunk < _MOST_CHUNKS else None


def message(queue: str, job_id: UUID, chunk_no: int) -> bytes:
    """A message as kombu keeps it in a list: Celery's documented protocol, version 2, with its required fields."""
    name = str(uuid.uuid4())
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[str(job_id), chunk_no], {}, embedded]).encode()
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
    """A Redis client whose BRPOP answers with a message of ours or with nothing."""

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
        return [key, message(queue, *chunk)]


class _QoS(kombu_redis.QoS):
    """Keeps what was delivered and not yet acknowledged, in a Redis hash that others may write as well."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            log.exception("dropped a message that cannot be delivered again: %r", tag)
            with self.channel.conn_or_acquire(client) as connection:
                connection.hdel(self.unacked_key, tag)
                connection.zrem(self.unacked_index_key, tag)


class _Channel(kombu_redis.Channel):
    QoS = _QoS

    def _get_client(self) -> type[_Client]:
        super()._get_client()  # type: ignore[no-untyped-call]  # checks the version of redis-py
        return _Client


class Transport(kombu_redis.Transport):
    """Named by the setting `broker_transport`."""

    Channel = _Channel
