"""A mask and its measures."""

from dataclasses import dataclass

from model.masks.rle import RLE


@dataclass(frozen=True)
class Mask:
    """A mask over the whole image; coordinates are xy pixels of the upright image.

    `bbox`: [x, y, w, h], pycocotools' `toBbox` of `rle`. `predicted_iou`: the model's own estimate.
    `stability_score`: area at logit > +offset over area at logit > −offset (0 where the latter is empty).
    `point_coords`: the prompt's points, or None. `crop_box`: [x, y, w, h] of the crop in which it was found.
    `prompt_id`: the prompt that asked for it, or None for automatic masks and those of phrases. `phrase`: the phrase
    that asked for it, and `score`: how well it matches, in [0, 1]; None for other tasks.
    """

    rle: RLE
    bbox: list[int]
    area: int
    predicted_iou: float
    stability_score: float
    point_coords: list[list[float]] | None
    crop_box: list[int]
    prompt_id: str | None = None
    phrase: str | None = None
    score: float | None = None
