"""Clicks, until the mask is right: mean IoU after 1 to 9 clicks, and RITM's number of clicks.

The first click is the point farthest from the region's boundary, each later one the middle of the larger error. The
first is answered with three masks, later ones with one, to which the logits of the round before are a prompt. `top` is
the answer: of three the one with the highest predicted IoU. `oracle` is the best of three; after the first click three
are asked for beside the answer, and the clicks do not follow them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evaluation.data.picture import Map, Picture
from evaluation.predictor import Answer, Predictor, single
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.masks.rle import encode
from training.clicks import Click, Mask, iou, next_click

TARGETS = (0.85, 0.90, 0.95)
ROUNDS = (1, 2, 3, 5, 9)  # of the mean IoU: the SAM paper's


class Asked(Protocol):
    """What answers clicks."""

    def ask(self, clicks: list[Click], *, previous: Tensor | None = None, multimask: bool = True) -> Answer: ...


@dataclass(frozen=True)
class Trace:
    """What came of one region: IoU after each click. `first`: the answer to the first click."""

    clicks: list[Click]
    top: list[float]
    oracle: list[float]
    first: Mask

    def number(self, target: float, most: int) -> int:
        """RITM's number of clicks: the first after which the IoU is ≥ target, or `most`."""
        return next((k for k, value in enumerate(self.top, 1) if value >= target), most)


def trace(asked: Asked, wanted: Map, ignored: Map | None, most: int, oracles: int) -> Trace:
    """Click until the IoU reaches the last target and `oracles` clicks are done, `most` times at most."""
    counted = np.ones_like(wanted) if ignored is None else ~ignored
    wanted = wanted & counted
    found, previous = np.zeros_like(wanted), None
    clicks: list[Click] = []
    top: list[float] = []
    oracle: list[float] = []
    first = found
    while len(clicks) < most:
        clicks.append(next_click(wanted, found & counted, clicks))
        answer = asked.ask(clicks, previous=previous, multimask=len(clicks) == 1)
        if len(clicks) <= oracles:
            three = answer if len(clicks) == 1 else asked.ask(clicks, previous=previous)
            oracle.append(max(iou(mask & counted, wanted) for mask in three.masks))
        found, previous = single(answer), answer.low[answer.best]
        first = found if len(clicks) == 1 else first
        top.append(iou(found & counted, wanted))
        if top[-1] >= TARGETS[-1] and len(clicks) >= oracles:
            break
    return Trace(clicks, top, oracle, first)


@dataclass(frozen=True)
class Clicks:
    """Up to `most` clicks for each region that is no crowd."""

    most: int = 20
    name: str = "clicks"
    settings: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Any]:
        return {"most": self.most}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        """A row for each region."""
        if not picture.objects:
            return {"regions": []}
        asked = Predictor(subject.segmenter, picture.image)
        traces = {k: trace(asked, picture.regions[k], picture.ignored, self.most, ROUNDS[-1]) for k in picture.objects}
        return {"regions": [_row(k, one, self.most) for k, one in traces.items()]}

    def tally(self, records: Sequence[Record]) -> Tally:
        """Means over all regions of the pictures."""
        names = list(_values({"top": [0.0], "oracle": [0.0], "number": [0] * len(TARGETS)}, self.most))
        tables = [[list(_values(row, self.most).values()) for row in record["regions"]] for record in records]
        return partial(means, names, [np.array(table, np.float64).reshape(-1, len(names)) for table in tables])

    def worth(self, record: Record) -> list[float]:
        return [row["top"][0] for row in record["regions"]]

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        """The answers to the first clicks."""
        return [
            Case(
                f"region {row['region']}",
                row["top"][0],
                [encode(picture.regions[row["region"]])],
                [row["first"]],
                [tuple(row["clicks"][0])],
            )
            for row in record["regions"]
        ]


def means(names: list[str], tables: list[NDArray[np.float64]], index: NDArray[np.int64]) -> Figures:
    """The number of rows, and the mean of each column, over the tables with these indexes."""
    rows = np.concatenate([tables[i] for i in index])
    return {"regions": float(len(rows)), **dict(zip(names, rows.mean(0).tolist() if len(rows) else (), strict=False))}


def _row(region: int, found: Trace, most: int) -> Record:
    return {
        "region": region,
        "clicks": [[c.x, c.y, c.foreground] for c in found.clicks],
        "top": found.top,
        "oracle": found.oracle,
        "number": [found.number(target, most) for target in TARGETS],
        "first": encode(found.first),
    }


def _values(row: Record, most: int) -> Figures:
    """One region's share of each figure. Where it was right before a round, the last round stands for that one."""
    figures: Figures = {}
    for kind in ("top", "oracle"):
        figures |= {f"{kind}@{k}": row[kind][min(k, len(row[kind])) - 1] for k in ROUNDS}
    for target, number, reached in zip(TARGETS, row["number"], row["top"][-1:] * len(TARGETS), strict=True):
        figures[f"noc@{round(100 * target)}"] = number
        figures[f"over@{round(100 * target)}"] = float(number == most and reached < target)
    return figures
