"""One mask of a result as Postgres keeps it, the composite type `mask_row`, and a column of many."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Dialect
from sqlalchemy.types import UserDefinedType


class MaskRow(NamedTuple):
    """One mask of a result; the fields of the composite type, in its order.

    Box and crop are x, y, width, height in original pixels. The point is x, y in the same frame (automatic masks only).
    The mask's COCO `counts` are `rle[offset : offset + length]` of its result row.
    """

    area: int
    x: int
    y: int
    w: int
    h: int
    predicted_iou: float
    stability_score: float
    point_x: float | None
    point_y: float | None
    crop_x: int
    crop_y: int
    crop_w: int
    crop_h: int
    prompt: str | None
    offset: int
    length: int


class MaskRows(UserDefinedType[list[MaskRow]]):
    """`mask_row[]`, for writing only. Readers ask Postgres for `to_json(masks)`.

    The value is sent as the text of an array, because psycopg takes seven times as long for composites.
    """

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "mask_row[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Iterable[MaskRow] | None], str | None]:  # noqa: ARG002
        return lambda rows: None if rows is None else array_literal(rows)


def array_literal(rows: Iterable[MaskRow]) -> str:
    """Masks → the text of a `mask_row[]`: numbers as they are, None as nothing, text in quotes."""
    return "{" + ",".join([_element(row) for row in rows]) + "}"


def _element(row: MaskRow) -> str:
    fields = ["" if value is None else _quoted(value) if isinstance(value, str) else value for value in row]
    return _ELEMENT % tuple(fields)


_ELEMENT: Final = '"(' + ",".join(["%s"] * len(MaskRow._fields)) + ')"'


def _quoted(text: str) -> str:
    """In the quotes of a composite's field, inside those of an array's element."""
    field = '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'
    return field.replace("\\", "\\\\").replace('"', '\\"')
