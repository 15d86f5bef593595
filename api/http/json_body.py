"""Bytes of a body → a JSON object, bounded in depth, in keys and in the number of values.

A value takes about a hundred bytes of memory, and so does each error found in it. Without bounds a small body could
take all memory.
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
    """An upper bound of the values of a JSON text. Every value but the first follows one of these characters."""
    return 1 + body.count(b",") + body.count(b"[") + body.count(b"{")


def parse_object(body: bytes) -> dict[str, Any]:
    """Raises InvalidBody, or BodyTooLarge for too many values."""
    if n_values(body) > MAX_VALUES:
        raise BodyTooLarge(f"the body has more than {MAX_VALUES} JSON values: submit several jobs")
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
    """Goes level by level, because recursion would overflow the stack on deep nesting."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        if any(type(value) is dict and len(value) > MAX_KEYS for value in level):
            raise InvalidBody([{"pointer": "", "detail": f"has an object with more than {MAX_KEYS} fields"}])
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
    """Places of strings with U+0000, which Postgres cannot store."""
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
