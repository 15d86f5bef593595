"""Bodies of submits: whole ones, strange values for every place in them, and what is refused."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from api.jobs.submission import DryRun, Rules, read_submission
from api.refusals import FieldError, InvalidBody
from db.allow_list import AllowList

RULES = Rules(("sam_tiny",), 1000, AllowList(("bucket",)))
WHOLE: dict[str, Any] = {
    "name": "tiles",
    "labels": {"run": "7", "site/a": "x"},
    "model": "sam_tiny",
    "precision": "exact",
    "priority": 5,
    "task": {"type": "prompted"},
    "input": {
        "items": [
            {
                "custom_id": "a",
                "image": "s3://bucket/a.jpg",
                "prompts": [
                    {"id": "p", "points": [[1, 2], [3.5, 4]], "labels": [1, 0], "box": [1, 2, 3, 4], "multimask": True},
                    {"mask": {"size": [2, 2], "counts": "4"}},
                ],
            },
            {"image": "s3://bucket/b.jpg", "prompts": [{"points": [[1, 2]], "labels": [1]}]},
        ],
    },
    "deadline": "2090-01-01T00:00:00Z",
    "max_failure_ratio": 0.5,
    "validate_only": False,
}
AUTO: dict[str, Any] = {
    "task": {
        "type": "auto", "points_per_side": 32, "points_per_batch": 64, "pred_iou_thresh": 0.5, "crop_n_layers": 1,
        "stability_score_offset": 1.0, "point_grids": [[[0.5, 0.5]]], "min_mask_area": 3, "max_masks": 7,
    },
    "input": {"prefix": "s3://bucket/p/", "glob": "*.jpg"},
}  # fmt: skip
TEXT: dict[str, Any] = {
    "task": {
        "type": "text", "phrases": ["a cat", "a dog"], "box_threshold": 0.3, "text_threshold": 0.2,
        "nms_threshold": 0.7, "cross_nms_threshold": 0.9, "max_masks": 5, "box_format": "xywh",
    },
    "input": {
        "items": [{"image": "s3://bucket/a.jpg", "exemplars": [{"phrase": "a cat", "box": [1, 2, 3, 4], "label": 0}]}]
    },
}  # fmt: skip
STRANGE: list[Any] = [
    None, True, 0, -1, 1.5, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 1e308, "", "x", "0",
    "7" * 5000, "\x00", "\x07", "\u2028", "\ud83d\ude00", "null", "2090-13-45T99:99:99Z", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "2090-01-01T00:00:00", "2090-01-01", "4102444800", "s3://images", "s3://bucket",
    "s3://elsewhere/a", [], [[]], [0], [0, 0, 0], [None] * 300, {}, {"": 0}, {"my key": "x"}, {"a/~b": 1},
    {"type": "auto"}, {"type": []}, {"size": [1, 2, 3], "counts": 4},
]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from paths(inner, (*at, key))


def replaced(body: dict[str, Any], at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    changed = copy.deepcopy(body)
    inner: Any = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


def without(body: dict[str, Any], at: tuple[Any, ...]) -> Any:
    changed = replaced(body, at, None)
    inner: Any = changed
    for key in at[:-1]:
        inner = inner[key]
    del inner[at[-1]]
    return changed


def refused(given: Any) -> list[FieldError]:
    """The errors of a body; none where it is accepted. Anything else that is raised fails the test."""
    try:
        answer = read_submission(json.dumps(given).encode(), RULES)
    except InvalidBody as error:
        assert str(error)
        return error.errors
    return list(answer.errors) if isinstance(answer, DryRun) else []


EVERY_PLACE = [(body, at) for body in (WHOLE, AUTO, TEXT) for at in paths(body)]
