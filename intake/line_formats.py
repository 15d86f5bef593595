"""A line → an item as a client gives it: JSON, or CSV with a header. Every item is one line."""

import csv
from collections.abc import Callable, Sequence
from typing import Any, Final

from intake.json_object import BadObject, n_values, read_object

MAX_VALUES: Final = 200_000
"""Of one line: each takes about a hundred bytes of memory."""
COLUMNS: Final = ("custom_id", "image", "prompts", "exemplars")
_JSON: Final = ("prompts", "exemplars")
LineFormat = Callable[[bytes], dict[str, Any]]
"""Raises BadLine."""


class BadLine(ValueError):
    """The line is no item; the message says why."""


def json_line(text: bytes) -> dict[str, Any]:
    """A line of JSON. Raises BadLine."""
    if n_values(text) > MAX_VALUES:
        raise BadLine(f"has more than {MAX_VALUES} JSON values")
    try:
        return read_object(text)
    except BadObject as error:
        at, detail = error.faults[0]
        detail = detail.replace(": line 1 column ", ": column ")  # the line has a number of its own
        raise BadLine(f"{at}: {detail}" if at else detail) from error


def csv_header(text: bytes) -> tuple[str, ...]:
    """The columns that the first line names. Raises BadLine."""
    columns = tuple(name.strip() for name in _cells(text))
    wrong = [name for name in columns if name not in COLUMNS]
    if wrong or len(set(columns)) < len(columns):
        raise BadLine(f"the header must name {', '.join(COLUMNS)}, each once at most; it names {', '.join(columns)!r}")
    if "image" not in columns:
        raise BadLine("the header must name the column image")
    return columns


def csv_line(columns: Sequence[str]) -> LineFormat:
    """A line of CSV under a header. An empty cell is an absent field; `prompts` and `exemplars` are JSON."""

    def read(text: bytes) -> dict[str, Any]:
        cells = _cells(text)
        if len(cells) != len(columns):
            raise BadLine(f"has {len(cells)} cells under {len(columns)} columns")
        found: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
        if any("\0" in cell for cell in cells):
            raise BadLine("must not contain control characters")
        for name in _JSON:
            if name in found:
                # Read inside an object, so that the limits on nesting hold for it as for a line of JSON.
                inner = json_line(b'{"%s":' % name.encode() + found[name].encode() + b"}")
                if len(inner) > 1:
                    raise BadLine(f"{name}: must be one JSON array")
                found |= inner
        return found

    return read


def _cells(text: bytes) -> list[str]:
    try:
        return next(csv.reader([text.decode()], strict=True))
    except UnicodeDecodeError as error:
        raise BadLine("is not UTF-8") from error
    except (csv.Error, StopIteration) as error:
        raise BadLine(f"not valid CSV: {error}") from error
