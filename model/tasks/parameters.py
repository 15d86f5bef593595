"""Parameters of automatic masks with every default filled in."""

from dataclasses import asdict, dataclass

from model.networks.protocol import Row
from model.spec import Automatic


@dataclass(frozen=True)
class Parameters:
    """Named as in `Automatic` and with the same meaning; None where there is no limit."""

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


def resolve(task: Automatic, row: Row) -> Parameters:
    """The task's own parameters, else the model row's."""
    values = asdict(task.resolved(row.automatic))
    del values["type"]
    return Parameters(**values)
