"""Edges from masks (SAM paper, section 7.2 and D.2), measured as on BSDS500.

A grid of 16x16 points gives 768 masks. None is filtered; NMS at .7 leaves different ones. Each one's probabilities are
differentiated (Sobel), and only what lies on the pixels around the mask is kept. The greatest of all masks is scaled to
[0, 1] and thinned across the edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import Picture
from evaluation.measures import curves
from evaluation.measures.boundaries import THRESHOLDS, counts, thresholds
from evaluation.predictor import Predictor
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.masks.nms import nms
from model.masks.rle import encode

CHUNK = 16  # masks at full size at a time
BORDER = 5  # px along the picture's edge, in which edges fade
Edges = NDArray[np.float32]


@dataclass(frozen=True)
class EdgeDetection:
    """Edges of a picture against each person's drawing."""

    points: int = 16
    suppression: float = 0.7
    thresholds: int = THRESHOLDS
    name: str = "edges"
    settings: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Any]:
        return {"points": self.points, "suppression": self.suppression, "thresholds": self.thresholds}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        edges = edges_of(Predictor(subject.segmenter, picture.image), self.points, self.suppression)
        at = thresholds(self.thresholds)
        found = counts(edges, picture.boundaries, at)
        _, best = curves.picture_f(found)
        return {"counts": found.tolist(), "edges": encode(edges >= at[best])}

    def tally(self, records: Sequence[Record]) -> Tally:
        return partial(_figures, np.array([record["counts"] for record in records], np.int64))

    def worth(self, record: Record) -> list[float]:
        return [curves.picture_f(np.array(record["counts"], np.int64))[0]]

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        """The edges at the picture's best threshold."""
        drawn = encode(np.asarray(picture.boundaries.any(0)))
        return [Case("best F", value, [drawn], [record["edges"]]) for value in self.worth(record)]


def _figures(table: NDArray[np.int64], index: NDArray[np.int64]) -> Figures:
    return curves.figures(table[index])


def edges_of(predictor: Predictor, points: int, suppression: float) -> Edges:
    """Edge strength (H, W) in [0, 1]."""
    low, scores, boxes = predictor.grid(points)
    kept = nms(boxes, scores, suppression)
    strongest: Edges = np.zeros(predictor.frame.size, np.float32)
    for at in range(0, len(kept), CHUNK):
        for logits in predictor.at_full_size(low[kept[at : at + CHUNK].tolist()]):
            np.maximum(strongest, _of_mask(logits), out=strongest)
    span = float(strongest.max() - strongest.min())
    return thinned((strongest - strongest.min()) / span) if span else strongest


def _of_mask(logits: NDArray[np.float32]) -> Edges:
    """Sobel of one mask's probabilities, on the pixels just outside it."""
    probability = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    across, down = (cv2.Sobel(probability, cv2.CV_32F, *d, borderType=cv2.BORDER_REPLICATE) for d in ((1, 0), (0, 1)))
    mask = (logits > 0).astype(np.uint8)
    around = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > mask
    return np.where(around, np.hypot(across, down), np.float32(0))


def thinned(edges: Edges) -> Edges:
    """Edges that are the greatest across their direction; 0 elsewhere. A wide neighbourhood gives the direction."""
    wide = _smoothed(edges, 4)
    down, across = np.gradient(wide)
    yx, xx = np.gradient(across)
    yy = np.gradient(down)[0]
    normal = np.mod(np.arctan(yy * np.sign(-yx) / (xx + 1e-5)), np.pi)
    y, x = (v.astype(np.float32) for v in np.mgrid[0 : edges.shape[0], 0 : edges.shape[1]])
    smooth = _smoothed(edges, 1)
    keep = np.ones(edges.shape, np.bool_)
    for side in (-1, 1):
        beside = cv2.remap(
            smooth,
            (x + side * np.cos(normal)).astype(np.float32),
            (y + side * np.sin(normal)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        keep &= smooth * 1.01 >= beside
    inside = np.minimum.reduce([x, y, x[:, ::-1], y[::-1]])
    return np.asarray(np.where(keep, smooth, 0) * np.minimum(inside / BORDER, 1), np.float32)


def _smoothed(edges: Edges, radius: int) -> Edges:
    """By a triangle of this radius."""
    side = np.concatenate([np.arange(1, radius + 2), np.arange(radius, 0, -1)]).astype(np.float32)
    side /= side.sum()
    return np.asarray(cv2.sepFilter2D(edges, cv2.CV_32F, side, side, borderType=cv2.BORDER_REFLECT), np.float32)
