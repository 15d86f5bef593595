"""Measure images a second: automatic, one prompt, twenty prompts, at several batch sizes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.clock import Clock
from bench.photographs import points_task
from model.backends.sam import Raw, Segmenter
from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.spec import Automatic, Task

ROUNDS = 3  # on CUDA, after one that does not count
Table = dict[str, Any]


def rates(s: Segmenter, clock: Clock, image: Pixels, task: Automatic, batches: list[int]) -> Iterator[Table]:
    """A row for each batch size and task.

    `core` is the device's part alone: in a worker, pre and post run beside it. `all` is all three, one after another.
    """
    for batch in batches:
        s.batch_images = batch
        images = [np.roll(image, 7 * i, axis=1) for i in range(batch)]
        for name, one in (
            ("automatic", task),
            ("1 prompt", points_task(image, 1)),
            ("20 prompts", points_task(image, 20)),
        ):
            yield {"batch": batch, "what": name} | _rate(s, clock, images, one)


def _rate(s: Segmenter, clock: Clock, images: list[Pixels], task: Task) -> Table:
    cuda = clock.device.startswith("cuda")
    if cuda:
        s.run(images, [task] * len(images))
    best: dict[str, float] = {}
    for _ in range(ROUNDS if cuda else 1):
        pre, prepared = clock.seconds(lambda: [s.pre(image, task) for image in images])
        core, raws = clock.seconds(partial(s.core, prepared))
        post, masks = clock.seconds(partial(_posted, s, raws))
        seen = {"core": core, "all": pre + core + post}
        best = {k: min(v, best.get(k, v)) for k, v in seen.items()}
    rows = {f"{k} images/s": round(len(images) / v, 4) for k, v in best.items()}
    return rows | {"masks an image": round(sum(map(len, masks)) / len(images), 1)}


def _posted(s: Segmenter, raws: list[Raw]) -> list[list[Mask]]:
    return [s.post(raw) for raw in raws]
