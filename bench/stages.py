"""Measure each stage of one automatic image, and how near it is to the machine's rate of products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.clock import Clock, by_stage, flop
from model.backends.sam import Segmenter
from model.masks.frames import Pixels
from model.spec import Automatic
from model.tasks import candidates, search

ENCODER_FLOP = {"sam_vit_b": 0.972e12, "sam_vit_l": 2.99e12, "sam_vit_h": 5.96e12}
DECODER_FLOP = 3.62e9  # a prompt, as the reference writes it
Table = dict[str, Any]


def places(s: Segmenter) -> dict[str, tuple[Any, str]]:
    """Stage → whose calls it is made of. None calls another."""
    return {
        "preprocess": (s, "pre"),
        "encode": (s.sam, "encode"),
        "decode to predicted IoU": (s.sam, "decode_tokens"),
        "up-convolutions": (s.sam, "upscale"),
        "stability and boxes": (search, "stable"),
        "suppression": (search, "nms"),
        "runs": (candidates, "runs"),
        "RLE and measures": (s, "post"),
    }


def stages(s: Segmenter, clock: Clock, image: Pixels, task: Automatic, rate: float) -> Iterator[Table]:
    """A row for each stage, and one for the whole image.

    Each has its seconds, its share of the whole, the FLOP that were done, and their fraction of `rate`, the FLOP/s of a
    matrix product on this machine.
    """
    if clock.device.startswith("cuda"):
        s.run([image], [task])
    with by_stage(places(s), clock.seconds) as spent:
        total, _ = clock.seconds(lambda: s.run([image], [task]))
    with by_stage(places(s), flop) as done:
        masks = len(s.run([image], [task])[0])
    spent["rest"] = total - sum(spent.values())
    for stage in (*places(s), "rest"):
        yield _row(s, stage, spent[stage], total, done[stage], rate)
    whole = _row(s, "whole", total, total, sum(done.values()), rate) | {"masks": masks}
    yield whole | _as_written(s, task, total, rate)


def _row(s: Segmenter, stage: str, seconds: float, total: float, done: float, rate: float) -> Table:
    row: Table = {"precision": s.precision, "stage": stage, "s": round(seconds, 4), "share": round(seconds / total, 3)}
    return row | ({"GFLOP": round(done / 1e9, 1), "of product rate": round(done / seconds / rate, 3)} if done else {})


def _as_written(s: Segmenter, task: Automatic, total: float, rate: float) -> Table:
    """The same for the FLOP the reference would have spent on this task."""
    if s.name not in ENCODER_FLOP or task.points_per_side is None:
        return {}
    written = ENCODER_FLOP[s.name] + DECODER_FLOP * task.points_per_side**2
    return {
        "GFLOP as written": round(written / 1e9, 1),
        "as written, of product rate": round(written / total / rate, 3),
    }
