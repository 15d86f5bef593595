"""`Automatic` with nothing left open: what the generator runs by."""

from dataclasses import asdict, dataclass

from model.sizes import Size
from model.spec import Automatic


@dataclass(frozen=True)
class Rules:
    """The parameters of one run, named and meant as in `Automatic`; None where there is no limit."""

    points_per_side: int
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    min_mask_region_area: int
    point_grids: tuple[tuple[tuple[float, float], ...], ...] | None
    min_mask_area: int | None
    max_mask_area: int | None
    max_masks: int | None


def rules(task: Automatic, row: Size) -> Rules:
    """The task's own parameters, else the model row's."""
    values = asdict(task.resolved(row.automatic))
    del values["type"]
    return Rules(**values)
