"""Lines → items, or what is wrong with them, each with the number of its line. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from intake.item import Fault, ItemRow, Prompting, check_items
from intake.line_formats import BadLine, LineFormat
from intake.lines import Line


class ItemLine(NamedTuple):
    """A line that is not blank: an item if it has no faults. `raw` is what it holds as far as that could be read."""

    number: int
    item_index: int
    row: ItemRow | None
    faults: Sequence[Fault]
    raw: Any


def check_lines(
    lines: Sequence[Line], read: LineFormat, prompting: Prompting | None, start: int, longest: int
) -> Iterator[ItemLine]:
    """Each line that is not blank. Items are counted from `start`; `longest` is for the message."""
    read_lines = [(line.number, *_read(line, read, longest)) for line in lines if not line.is_blank]
    checked = check_items([raw for _, raw, _ in read_lines], prompting, start)
    for (number, raw, why), (index, row, faults) in zip(read_lines, checked, strict=True):
        yield ItemLine(number, index, row, faults if why is None else [Fault("", why)], raw)


def _read(line: Line, read: LineFormat, longest: int) -> tuple[Any, str | None]:
    if line.text is None:
        return None, f"is longer than {longest} bytes"
    try:
        return read(line.text), None
    except BadLine as error:
        return None, str(error)
