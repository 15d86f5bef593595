"""Parquet: a table with a row for each mask."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import Row

from db.statements import export
from db.web_image import shown_image
from exports.format import Format
from exports.pages import Source
from exports.views import mask_views

if TYPE_CHECKING:  # pyarrow is large: it is imported when a table is written
    import pyarrow as pa

ABOUT = """An Apache Parquet table that pandas, DuckDB and Spark read. Each mask is a row. An item without masks is
one row whose mask columns are null: it failed, or nothing was found.

- Item columns: `item_index`, `custom_id`, `image`, `state`, `reason` and `detail` of a failure, `height`, `width`,
  `model`, `model_revision`, `precision`.
- Mask columns: `mask_id`, `prompt_id`, `rle_counts`, `bbox_x`, `bbox_y`, `bbox_w`, `bbox_h`, `area`, `predicted_iou`,
  `stability_score`, `point_x`, `point_y`, `crop_x`, `crop_y`, `crop_w`, `crop_h`, `phrase`, `score`.
- `{"size": [height, width], "counts": rle_counts}` is the mask as pycocotools reads it.
- The schema's metadata has the job as JSON, under the key `maskworks`.
- A file that was cut off has no footer, so no program reads it."""

_GROUP_ROWS: Final = 20_000
_GROUP_BYTES: Final = 8 * 2**20
"""A row group is written once it has so many rows, or so many bytes of masks and names."""
_ITEM: Final = {
    "item_index": "int32",
    "custom_id": "string",
    "image": "string",
    "state": "string",
    "reason": "string",
    "detail": "string",
    "height": "int32",
    "width": "int32",
    "model": "string",
    "model_revision": "string",
    "precision": "string",
}
_MASK: Final = {
    "mask_id": "int32",
    "prompt_id": "string",
    "rle_counts": "string",
    **dict.fromkeys(("bbox_x", "bbox_y", "bbox_w", "bbox_h"), "int32"),
    "area": "int64",
    **dict.fromkeys(("predicted_iou", "stability_score", "point_x", "point_y"), "float64"),
    **dict.fromkeys(("crop_x", "crop_y", "crop_w", "crop_h"), "int32"),
    "phrase": "string",
    "score": "float64",
}


class _Written:
    """Where the writer puts its bytes, until they are taken from it."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The bytes are still to be taken."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Group:
    """The columns of a row group in the making."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in (*_ITEM, *_MASK)}
        self.rows = self.size = 0

    def add(self, row: Row[Any]) -> None:
        masks = mask_views(row)
        self.size += len(row.image) + len(row.custom_id) + len(row.detail or "")
        for mask in masks:
            self._append(row, _mask_columns(mask))
            self.size += len(mask["segmentation"]["counts"])
        if not masks:
            self._append(row, {})

    def full(self) -> bool:
        return self.rows >= _GROUP_ROWS or self.size >= _GROUP_BYTES

    def _append(self, row: Row[Any], mask: dict[str, Any]) -> None:
        self.rows += 1
        for name in _ITEM:
            value = getattr(row, name)
            self.columns[name].append(shown_image(value) if name == "image" else value)
        for name in _MASK:
            self.columns[name].append(mask.get(name))


def _mask_columns(mask: dict[str, Any]) -> dict[str, Any]:
    point = (mask["point_coords"] or [(None, None)])[0]
    return {
        "mask_id": mask["id"],
        "rle_counts": mask["segmentation"]["counts"],
        **{name: mask[name] for name in ("prompt_id", "area", "predicted_iou", "stability_score", "phrase", "score")},
        **dict(zip(("bbox_x", "bbox_y", "bbox_w", "bbox_h"), mask["bbox"], strict=True)),
        **dict(zip(("point_x", "point_y"), point, strict=True)),
        **dict(zip(("crop_x", "crop_y", "crop_w", "crop_h"), mask["crop_box"], strict=True)),
    }


async def parquet(source: Source) -> AsyncGenerator[bytes, None]:
    """A row group at a time is in memory. It is compressed in a thread: other answers must not wait for it."""
    from pyarrow.parquet import ParquetWriter

    written, schema = _Written(), _schema(source)
    with ParquetWriter(written, schema, compression="zstd") as writer:
        yield written.taken()  # the file's first bytes: whatever goes wrong from here on leaves it without a footer
        group = _Group()
        async for row in source.rows(export.all_items if source.job.done else export.items_with_result):
            group.add(row)
            if group.full():
                await asyncio.to_thread(_write, writer, schema, group)
                group = _Group()
                yield written.taken()
        await asyncio.to_thread(_write, writer, schema, group)
    yield written.taken()


def _schema(source: Source) -> "pa.Schema":
    import pyarrow as pa

    columns = [pa.field(name, pa.type_for_alias(kind)) for name, kind in (_ITEM | _MASK).items()]
    return pa.schema(columns, metadata={"maskworks": orjson.dumps(source.about())})


def _write(writer: Any, schema: "pa.Schema", group: _Group) -> None:
    import pyarrow as pa

    writer.write_table(pa.Table.from_pydict(group.columns, schema))


FORMAT = Format("application/vnd.apache.parquet", "parquet", ABOUT, parquet)
