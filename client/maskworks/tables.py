"""Results as a table with a row for each mask."""

from collections.abc import Iterable
from typing import Any

from maskworks.extras import extra
from maskworks.records import Result


def frame(results: Iterable[Result]) -> Any:
    """A pandas DataFrame."""
    pandas = extra("pandas", "A table of results", "pandas")
    return pandas.DataFrame([_row(result, mask) for result in results for mask in result.masks], columns=COLUMNS)


COLUMNS = (
    *("item_id", "custom_id", "image", "mask_id", "prompt_id", "x", "y", "width", "height", "area"),
    *("predicted_iou", "stability_score", "size", "counts"),
)


def _row(result: Result, mask: Any) -> tuple[Any, ...]:
    return (
        *(result.id, result.custom_id, result.image, mask.id, mask.prompt_id, *mask.bbox, mask.area),
        *(mask.predicted_iou, mask.stability_score, mask.segmentation.size, mask.segmentation.counts),
    )
