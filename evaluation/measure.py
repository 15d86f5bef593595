"""Measure every region of a picture: one click, one box, and clicks until the mask is right.

A row holds one region's IoU by method. `summary` computes the figures of the SAM paper's section 7.1 (one click, top
predicted and oracle) and RITM's number of clicks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.classical import (
    SCALES,
    THREE_TOLERANCES,
    TOLERANCES,
    felzenszwalb_regions,
    filled_box,
    flood_fill,
    grab_cut,
)
from evaluation.ground_truth import Picture
from evaluation.predictor import Predictor, single
from model.networks.sam import Sam
from training.clicks import Click, Mask, box_around, farthest_inside, iou, next_click

MAX_CLICKS = 20
TARGETS = (0.85, 0.90)


@dataclass(frozen=True)
class Row:
    """One region."""

    picture: str
    area: float  # share of the picture
    click: tuple[int, int]
    ious: dict[str, float]
    predicted: tuple[float, ...] = ()  # of the three click masks
    true: tuple[float, ...] = ()
    clicks: dict[str, int] | None = None  # to reach each target, or MAX_CLICKS


def number_of_clicks(predictor: Predictor, wanted: Mask) -> dict[str, int]:
    """RITM's protocol, with the previous logits as a prompt. Only the first click gives three masks."""
    clicked = [next_click(wanted, np.zeros_like(wanted), [])]
    answer = predictor.ask(clicked)
    reached = {f"noc{round(100 * t)}": MAX_CLICKS for t in TARGETS}
    for count in range(1, MAX_CLICKS + 1):
        found, best = single(answer), int(answer.scores.argmax())
        score = iou(found, wanted)
        for target in TARGETS:
            name = f"noc{round(100 * target)}"
            if score >= target and reached[name] == MAX_CLICKS:
                reached[name] = count
        if score >= max(TARGETS) or count == MAX_CLICKS:
            break
        clicked.append(next_click(wanted, found, clicked))
        answer = predictor.ask(clicked, previous=answer.low[best], multimask=False)
    return reached


def measure_sam(predictor: Predictor, picture: Picture, wanted: Mask, interactive: bool) -> Row:
    x, y = farthest_inside(wanted)
    answer = predictor.ask([Click(x, y, True)])
    true = tuple(iou(mask, wanted) for mask in answer.masks)
    boxed = predictor.ask(box=box_around(wanted), multimask=False)
    ious = {"top": iou(single(answer), wanted), "oracle": max(true), "box": iou(boxed.masks[0], wanted)}
    clicks = number_of_clicks(predictor, wanted) if interactive else None
    predicted = tuple(float(s) for s in answer.scores)
    return Row(picture.name, float(wanted.mean()), (x, y), ious, predicted, true, clicks)


def measure_classical(picture: Picture, wanted: Mask, regions: dict[int, NDArray[np.intp]]) -> dict[str, float]:
    x, y = farthest_inside(wanted)
    box = box_around(wanted)
    floods = {t: iou(mask, wanted) for t, mask in flood_fill(picture.image, x, y).items()}
    felz = {s: iou(labels == labels[y, x], wanted) for s, labels in regions.items()}
    return {
        **{f"flood {t}": score for t, score in floods.items()},
        "flood best of 3": max(floods[t] for t in THREE_TOLERANCES),
        **{f"felzenszwalb {s}": score for s, score in felz.items()},
        "felzenszwalb best of 3": max(felz.values()),
        "grabcut": iou(grab_cut(picture.image, box), wanted),
        "filled box": iou(filled_box(picture.image, box), wanted),
    }


def measure_picture(sam: Sam, picture: Picture, classical: bool = True, interactive: bool = True) -> list[Row]:
    predictor = Predictor(sam, picture.image)
    regions = felzenszwalb_regions(picture.image) if classical else {}
    rows = []
    for wanted in picture.regions:
        row = measure_sam(predictor, picture, wanted, interactive)
        if classical:
            row.ious.update(measure_classical(picture, wanted, regions))
        rows.append(row)
    return rows


def correlation(rows: list[Row]) -> float:
    """Pearson's r between predicted and true IoU over every click mask."""
    predicted = np.array([p for row in rows for p in row.predicted])
    true = np.array([t for row in rows for t in row.true])
    if len(true) < 2 or predicted.std() == 0 or true.std() == 0:
        return 0.0
    return float(np.corrcoef(predicted, true)[0, 1])


def summary(rows: list[Row]) -> dict[str, float]:
    """Means over regions. The "top" of a classical method is its best single setting on these regions."""
    mean = {name: float(np.mean([row.ious[name] for row in rows])) for name in rows[0].ious}
    found = {"regions": float(len(rows)), "correlation": correlation(rows), **mean}
    if "grabcut" in mean:
        found["flood best tolerance"] = max(mean[f"flood {t}"] for t in TOLERANCES)
        found["felzenszwalb best scale"] = max(mean[f"felzenszwalb {s}"] for s in SCALES)
    if rows[0].clicks is not None:
        for name in rows[0].clicks:
            found[name] = float(np.mean([row.clicks[name] for row in rows if row.clicks is not None]))
    return found
