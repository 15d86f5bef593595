"""Calls for one image now: the messages between the API and a worker, and the Redis keys that hold them.

The API waits for the answer, so a call has no row in Postgres. All keys of a call expire by the clock of Redis.

    queue    a list for each model: the names of calls that wait for a worker
    call     the call itself, until a worker takes it
    taken    the worker that has it
    reply    a list with the answer, or nothing
    held     a sorted set of the calls that somebody waits for, by the time until which he waits
    workers  a sorted set for each model: the workers that answer calls, by the time of their last sign of life

The keys begin with the version of the messages. A worker of another version neither takes nor answers a call, and the
API finds that no worker answers it.
"""

import json
import secrets
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from db.bands import Bands
from db.states import Depth, ItemReason

_VERSION: Final = "now:1:"
HELD: Final = f"{_VERSION}held"
SEEN_MS: Final = 10_000
"""A worker that has given no sign of life for so long is taken for dead."""
REPLY_BYTES: Final = 4 * 2**20
"""Set aside for the answer of each call. Most take less."""
MAX_REPLY_BYTES: Final = 32 * 2**20
LUA_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
"""How a script begins that compares times: `now` is in milliseconds, by the clock of Redis."""


def queue_key(model: str) -> str:
    return f"{_VERSION}queue:{model}"


def workers_key(model: str) -> str:
    return f"{_VERSION}workers:{model}"


def call_key(name: str) -> str:
    return f"{_VERSION}call:{name}"


def taken_key(name: str) -> str:
    return f"{_VERSION}taken:{name}"


def reply_key(name: str) -> str:
    return f"{_VERSION}reply:{name}"


def new_name(message: bytes) -> str:
    """A call's name. It ends with the bytes that the call may take in Redis."""
    return f"{secrets.token_hex(16)}.{len(message) + REPLY_BYTES}"


class BadMessage(ValueError):
    """The bytes are no message of this kind."""


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Head):
    """What is asked. `task` is None for the embedding, `image` for an uploaded one.

    `seconds` is how long the caller waits from the beginning.
    `places` is what the tenant may use in S3. `etags` are those that the caller has.
    """

    model: str
    seconds: float
    precision: Literal["exact", "fast"] | None = None
    task: dict[str, Any] | None = None
    image: str | None = None
    depth: Depth = Depth.AUTO
    bands: Bands | None = None
    places: tuple[str, ...] | None = None
    etags: tuple[str, ...] = ()


class Failure(_Head):
    """Why there is no answer. `detail` is for the caller to read."""

    reason: ItemReason
    detail: str


class Reply(_Head):
    """What comes before the octets of an answer: masks as JSON, or an embedding of float16 (C, h, w).

    `size` is [height, width] of the upright image. `unchanged`: one of the call's `etags` is the embedding's.
    """

    failure: Failure | None = None
    unchanged: bool = False
    etag: str | None = None
    shape: tuple[int, ...] | None = None
    size: tuple[int, int] | None = None


Head = TypeVar("Head", bound=_Head)


def message(head: _Head, octets: bytes = b"") -> bytes:
    """A line of JSON, then octets."""
    return head.model_dump_json(exclude_defaults=True).encode() + b"\n" + octets


def read_message(kind: type[Head], raw: bytes) -> tuple[Head, bytes]:
    """Raises BadMessage."""
    line, mark, octets = raw.partition(b"\n")
    if not mark:
        raise BadMessage("no line of JSON")
    try:
        return kind.model_validate_json(line), octets
    except ValidationError as error:
        raise BadMessage(json.dumps(error.errors(include_url=False, include_input=False), default=str)) from error
