"""A picture of a run's worst and median cases. What is right has a green border; what was found is magenta."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from evaluation.data.picture import DataSet, Picture
from evaluation.task import Case, Record, Task
from model.masks.rle import decode

ACROSS, SIDE, CAPTION = 4, 360, 40
GREEN, MAGENTA, WHITE = (40, 255, 90), (255, 0, 190), (255, 255, 255)
OPACITY = 0.5


def chosen(task: Task, records: list[Record]) -> list[tuple[int, int]]:
    """(picture, case) of the worst cases, then of those at the median."""
    each = [(value, i, k) for i, record in enumerate(records) for k, value in enumerate(task.worth(record))]
    ranked = sorted(each, key=lambda one: one[0])
    middle = max(len(ranked) // 2 - ACROSS // 2, ACROSS)  # with few cases none comes twice
    return [(i, k) for _, i, k in [*ranked[:ACROSS], *ranked[middle : middle + ACROSS]]]


def draw(task: Task, data: DataSet, records: list[Record], path: Path) -> None:
    """Write the sheet: a row of the worst, a row around the median. Nothing is written where there is no case."""
    tiles = []
    for i, k in chosen(task, records):
        picture = data.samples[i].read()
        tiles.append(_tile(picture, task.cases(picture, records[i])[k]))
    if not tiles:
        return
    rows = -(-len(tiles) // ACROSS)
    sheet = Pillow.new("RGB", (ACROSS * SIDE, rows * (SIDE + CAPTION)), "white")
    for at, tile in enumerate(tiles):
        sheet.paste(tile, (at % ACROSS * SIDE, at // ACROSS * (SIDE + CAPTION)))
    sheet.save(path, quality=88)


def _tile(picture: Picture, case: Case) -> Pillow.Image:
    canvas, scale = _fitted(picture.image)
    for rle in case.found:
        mask = _scaled(decode(rle), canvas)
        canvas[mask] = np.round(canvas[mask] * (1 - OPACITY) + np.array(MAGENTA) * OPACITY).astype(np.uint8)
    _outline(canvas, [_scaled(decode(rle), canvas) for rle in case.wanted], GREEN, 2)
    _outline(canvas, [_scaled(decode(rle), canvas) for rle in case.found], MAGENTA, 1)
    for x, y, foreground in case.points:
        at = round((x + 0.5) * scale), round((y + 0.5) * scale)
        cv2.circle(canvas, at, 5, GREEN if foreground else (255, 0, 0), -1)
        cv2.circle(canvas, at, 5, WHITE, 1)
    tile = Pillow.new("RGB", (SIDE, SIDE + CAPTION), "white")
    tile.paste(Pillow.fromarray(canvas), (0, CAPTION))
    text = f"{picture.name[-40:]}\n{case.title}: {case.value:.3f}"
    ImageDraw.Draw(tile).multiline_text((4, 4), text, fill="black", font=ImageFont.load_default(13))
    return tile


def _fitted(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = (SIDE - 4) / max(image.shape[:2])
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _scaled(mask: NDArray[np.bool_], canvas: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """At the canvas's size. Thin lines stay, because any covered pixel counts."""
    tall, wide = canvas.shape[:2]
    return np.asarray(cv2.resize(mask.astype(np.float32), (wide, tall), interpolation=cv2.INTER_AREA) > 0.3, np.bool_)


def _outline(
    canvas: NDArray[np.uint8], masks: list[NDArray[np.bool_]], colour: tuple[int, int, int], width: int
) -> None:
    for mask in masks:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, width)
