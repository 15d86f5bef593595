"""Bytes of a body → a JSON object that is safe to look at: bounded in depth, in keys and in the number of values.

A value takes some hundred bytes of memory, and so does each error that is found in it. So a body of few bytes could
otherwise take all memory that there is.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from api.errors import BodyTooLarge, InvalidBody
from api.messages import pointer

MAX_VALUES = 2_000_000
MAX_DEPTH = 64
MAX_KEYS = 256
Path = tuple[str | int, ...]


def n_values(body: bytes) -> int:
    """No fewer than the values of a JSON text: every value but the first has one of these characters before it."""
    return 1 + body.count(b",") + body.count(b"[") + body.count(b"{")


def parse_object(body: bytes) -> dict[str, Any]:
    """Raises InvalidBody, or BodyTooLarge for too many values."""
    if n_values(body) > MAX_VALUES:
        raise BodyTooLarge(f"more than {MAX_VALUES} JSON values: spread the items over several jobs")
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody([{"pointer": "", "detail": f"not valid JSON: {error}"}]) from error
    if not isinstance(raw, dict):
        raise InvalidBody([{"pointer": "", "detail": "must be a JSON object"}])
    _check_shape(raw)
    if rb"\u0000" in body:
        for path in _nul_paths(raw):
            raise InvalidBody([{"pointer": pointer(path), "detail": "must not contain control characters"}])
    return raw


def _check_shape(raw: dict[str, Any]) -> None:
    """Level by level: deep nesting must not take stack."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        if any(type(value) is dict and len(value) > MAX_KEYS for value in level):
            raise InvalidBody([{"pointer": "", "detail": f"an object in it has more than {MAX_KEYS} fields"}])
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) in (dict, list)
        ]
        if not level:
            return
    raise InvalidBody([{"pointer": "", "detail": f"is nested deeper than {MAX_DEPTH} levels"}])


def _nul_paths(raw: dict[str, Any]) -> Iterator[Path]:
    """Where a string holds U+0000, which Postgres can store in no text and no jsonb."""
    todo: list[tuple[Path, Any]] = [((), raw)]
    while todo:
        at, value = todo.pop()
        if isinstance(value, str) and "\0" in value:
            yield at
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in pairs:
            if isinstance(key, str) and "\0" in key:
                yield at
            if isinstance(inner, str | dict | list):
                todo.append(((*at, key), inner))
