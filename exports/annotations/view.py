"""An annotation as JSON, in answers and in files."""

from typing import Any

from sqlalchemy import Row

from db.ids import show_job_id


def annotation_view(row: Row[Any]) -> dict[str, Any]:
    """A row of `db.statements.annotations` → the JSON of `api.annotations.schemas.Annotation`."""
    return {
        "id": row.id.hex,
        "image": row.image,
        "segmentation": segmentation(row),
        "bbox": row.bbox,
        "area": row.area,
        **made(row),
        "source": _source(row),
        "create_time": row.created_at,
    }


def made(row: Row[Any]) -> dict[str, Any]:
    """How the mask came to be."""
    return {"state": row.state, "stage": row.stage, "annotator": row.annotator, "clicks": row.clicks}


def segmentation(row: Row[Any]) -> dict[str, Any]:
    return {"size": [row.height, row.width], "counts": row.counts}


def file_name(image: str) -> str:
    """A URI without its scheme: unique in a file, as `bucket/photos/a.jpg`."""
    return image.partition("://")[2]


def _source(row: Row[Any]) -> dict[str, Any] | None:
    if row.job_id is None:
        return None
    return {"job_id": show_job_id(row.job_id), "item_index": row.item_index, "mask_id": row.mask_id}
