"""Bytes → a JSON object, bounded in depth, in keys and in the number of values.

A value takes about a hundred bytes of memory, and so does each error found in it. Without bounds a small text could
take all memory.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from intake.messages import pointer

MAX_DEPTH: Final = 64
MAX_KEYS: Final = 256
Path = tuple[str | int, ...]


class BadObject(ValueError):
    """No JSON object, or none that is taken: a JSON pointer to the place, and what is wrong there, several times."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(faults[0][1])
        self.faults = faults


def n_values(text: bytes) -> int:
    """An upper bound of the values of a JSON text. Every value but the first follows one of these characters."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def read_object(text: bytes) -> dict[str, Any]:
    """Raises BadObject. The caller has limited the length of the text, or its number of values."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadObject(("", f"not valid JSON: {error}")) from error
    if not isinstance(raw, dict):
        raise BadObject(("", "must be a JSON object"))
    _check_shape(raw)
    if rb"\u0000" in text and (paths := [*_nul_paths(raw)]):
        raise BadObject(*((pointer(path), "must not contain control characters") for path in paths))
    return raw


def _check_shape(raw: dict[str, Any]) -> None:
    """Goes level by level, because recursion would overflow the stack on deep nesting."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        if any(type(value) is dict and len(value) > MAX_KEYS for value in level):
            raise BadObject(("", f"has an object with more than {MAX_KEYS} fields"))
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) in (dict, list)
        ]
        if not level:
            return
    raise BadObject(("", f"is nested deeper than {MAX_DEPTH} levels"))


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
