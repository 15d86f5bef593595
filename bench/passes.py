"""Stability, boxes and runs on a CPU: compiled passes beside those without numba, on the logits of a real image.

python -m bench.model --size sam_vit_b --parts passes
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from bench.clock import Clock
from model import jit
from model.backends.sam import Segmenter
from model.masks import sparse, upsample
from model.masks.frames import Pixels, whole
from model.spec import Automatic
from model.tasks import search
from model.tasks.parameters import resolve

ROUNDS = 5
POINTS = 8
RUNS = 64
Table = dict[str, Any]


def passes(s: Segmenter, clock: Clock, image: Pixels, task: Automatic) -> Iterator[Table]:
    """Median seconds of each, turn by turn, and whether results are equal."""
    logits = seen(s, image, task)
    frame, side = whole(image.shape[0], image.shape[1], s.sam.row.image_size), s.sam.row.image_size
    offset = resolve(task, s.sam.row).stability_score_offset
    works = {
        "stability and boxes": lambda: sparse.measure(logits, frame, side, offset, 0.5),
        "runs": lambda: sparse.runs(logits[:RUNS], frame, side),
    }
    for what, work in works.items():
        spent: dict[bool, list[float]] = {True: [], False: []}
        found = {}
        for _ in range(ROUNDS):
            for available in (True, False):
                with patch.object(jit, "AVAILABLE", available):
                    seconds, found[available] = clock.seconds(work)
                spent[available].append(seconds)
        compiled, plain = (statistics.median(spent[a]) for a in (True, False))
        yield {
            "what": what,
            "masks": len(logits) if what != "runs" else min(RUNS, len(logits)),
            "without numba s": round(plain, 4),
            "compiled s": round(compiled, 4),
            "ratio": round(plain / compiled, 2),
            "equal": _equal(found[True], found[False]),
        }


def seen(s: Segmenter, image: Pixels, task: Automatic) -> Tensor:
    """The logits that POINTS² points of the task bring to the stability filter."""
    kept: list[Tensor] = []
    stable = upsample.stable

    def spy(logits: Tensor, *rest: Any) -> Any:
        kept.append(logits)
        return stable(logits, *rest)

    with patch.object(search, "stable", spy):
        s.run([image], [replace(task, points_per_side=POINTS)])
    return torch.cat(kept)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    pairs = ((a.index, b.index), (a.boxes, b.boxes), (a.stability, b.stability))
    return all(np.array_equal(x, y) for x, y in pairs)
