"""Automatic masks of growing images: ours beside the straightforward order, and what follows for LARGEST megapixels.

Only what comes after the networks grows with the image. Few points are enough to see how much, so that the
straightforward order's full-size logits fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from bench import straightforward
from bench.agreement import agreement
from bench.clock import Clock
from bench.photographs import loose, photograph
from model.backends.sam import Segmenter
from model.tasks.parameters import resolve

MEGAPIXELS = (1.0, 3.0, 6.0, 12.0)
LARGEST = 50.0
POINTS = 4  # a side
WHOLE = 32  # points a side of the default grid
Table = dict[str, Any]


def large(s: Segmenter, clock: Clock) -> Iterator[Table]:
    """A row for each size, one of ours alone at LARGEST, and one for LARGEST by a line through theirs."""
    seen: list[tuple[float, float, float]] = []
    for megapixels in MEGAPIXELS:
        theirs, ours, alike = _beside(s, clock, megapixels)
        seen.append((megapixels, theirs, ours))
        yield {"megapixels": megapixels, "straightforward s": theirs, "ours s": ours} | alike
    image, task = photograph(LARGEST), loose(POINTS)
    ours, _ = clock.seconds(lambda: s.run([image], [task]))
    size, theirs_line, ours_line = ((np.asarray([row[i] for row in seen])) for i in range(3))
    slope, start = np.polyfit(size, theirs_line, 1)
    yield {"megapixels": LARGEST, "straightforward s, by the line": round(float(start + slope * LARGEST), 2)} | {
        "ours s": round(ours, 2)
    }
    more = WHOLE**2 / POINTS**2
    growth = slope * (LARGEST - size[0]) * more, (ours - ours_line[0]) * more
    yield {
        "what": f"seconds more at {LARGEST:.0f} than at {size[0]:.0f} megapixels, for {WHOLE}² points",
        "straightforward s": round(float(growth[0]), 1),
        "ours s, at most": round(float(growth[1]), 1),
    }


def _beside(s: Segmenter, clock: Clock, megapixels: float) -> tuple[float, float, Table]:
    image, task = photograph(megapixels), loose(POINTS)
    settled, row = resolve(task, s.sam.row), s.sam.row
    with torch.inference_mode():
        slow, plain = clock.seconds(partial(straightforward.automatic, s.state_dict(), row, image, settled, s.device))
    quick, (masks,) = clock.seconds(lambda: s.run([image], [task]))
    alike = agreement([m.rle for m in masks], [m for m, _ in plain])
    return round(slow, 3), round(quick, 3), {k: alike[k] for k in ("masks", "least IoU") if k in alike}
