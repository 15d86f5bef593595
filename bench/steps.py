"""Measure each rearrangement: automatic masks of one embedding, with one rearrangement undone at a time.

The real generator runs, on the points and thresholds it is given; a step is taken back by putting the plain form
in its place. So a gain is what this step is worth while all others are there; gains do not add up to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bench.agreement import agreement
from bench.clock import Clock
from model.backends.sam import Segmenter
from model.masks import dense, rle, sparse, upsample
from model.masks.frames import Frame, Pixels
from model.masks.stability import Stable
from model.networks import mask_decoder
from model.networks.mask_decoder import Decoded, MaskDecoder
from model.networks.transformer import Attention
from model.spec import Automatic
from model.tasks import candidates, search

Table = dict[str, Any]
Swap = tuple[Any, str, Any]  # owner, attribute, what stands there instead


def plain_forms(s: Segmenter) -> dict[str, list[Swap]]:
    """Step → what undoes it."""
    upscale = s.sam.upscale

    def all_then_chosen(decoded: Decoded, prompts: Tensor, masks: Tensor) -> Tensor:
        return upscale(decoded)[prompts.to(masks.device), masks]

    shared: list[Swap] = [(MaskDecoder, "decode", _unshared)]
    folded: list[Swap] = [(Attention, "folds", lambda _, __: False)]
    everywhere: dict[str, list[Swap]] = {
        "a: predicted IoU before the up-convolutions": [(s.sam, "upscale", all_then_chosen)],
        "f: layer-1 projections shared by all points": shared,
        "g: projections folded into the tokens": folded,
        "f and g": shared + folded,
        "b: suppression before run lengths": [(candidates, "HELD_BYTES", 0)],
    }
    if s.device != "cpu":
        return everywhere
    return everywhere | {
        "c: cells instead of full-size logits": [
            (sparse, "measure", dense.measure),
            (candidates, "runs", _dense_runs),
        ],
        "a cacheful of prompts at a time": [(mask_decoder, "prompts_at_a_time", lambda _: 64)],
    }


def steps(s: Segmenter, clock: Clock, image: Pixels, task: Automatic, points: int) -> Iterator[Table]:
    """Seconds after the encoder over points² points with every step, then without each; masks are to stay the same."""
    task = replace(task, points_per_side=points)
    embedding = s.embed(image)

    def run() -> list[rle.RLE]:
        return [m.rle for m in s.run_embedded(embedding, task)]

    base, expected = clock.seconds(run)
    yield {"step": "all of them", "s": round(base, 3)} | counted(s, run)
    for name, swaps in plain_forms(s).items():
        with ExitStack() as stack:
            for owner, attribute, plain in swaps:
                stack.enter_context(patch.object(owner, attribute, plain))
            taken, masks = clock.seconds(run)
        row: Table = {"step": f"without {name}", "s": round(taken, 3), "gain": round(taken / base, 2)}
        yield row | {"seconds saved": round(taken - base, 3)} | agreement(masks, expected)


def counted(s: Segmenter, run: Callable[[], Any]) -> dict[str, int]:
    """How many prompts and masks pass each filter of one run."""
    found = {"prompts": 0, "prompts past predicted IoU": 0, "masks past predicted IoU": 0, "stable": 0}
    tokens, upscale, stable = s.sam.decode_tokens, s.sam.upscale, upsample.stable

    def decoding(*args: Any) -> Decoded:
        decoded = tokens(*args)
        found["prompts"] += len(decoded.iou)
        return decoded

    def upscaling(decoded: Decoded, prompts: Tensor, masks: Tensor) -> Tensor:
        found["prompts past predicted IoU"] += len(torch.unique(prompts))
        found["masks past predicted IoU"] += len(masks)
        return upscale(decoded, prompts, masks)

    def filtering(*args: Any) -> Stable:
        good = stable(*args)
        found["stable"] += len(good.index)
        return good

    with (
        patch.object(s.sam, "decode_tokens", decoding),
        patch.object(s.sam, "upscale", upscaling),
        patch.object(search, "stable", filtering),
    ):
        found["survive"] = len(run())
    return found


_decode = MaskDecoder.decode


def _unshared(self: MaskDecoder, sparse: Tensor, cells: Tensor, pe: Tensor, multimask: bool) -> Decoded:
    """Every prompt as if it had an image of its own."""
    own = cells.expand(*sparse.shape[:2], -1, -1).flatten(0, 1).unsqueeze(1)
    return _decode(self, sparse.flatten(0, 1).unsqueeze(1), own, pe, multimask)


def _dense_runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    return [rle.runs((dense.upsampled(one[None], frame, side)[0] > 0).numpy()) for one in logits]
