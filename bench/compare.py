"""Compare with a straightforward implementation and with `transformers`, on the same weights, image and thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import straightforward
from bench.agreement import agreement
from bench.clock import Clock
from bench.photographs import clicks, points_task
from model.backends.sam import Segmenter
from model.masks import rle
from model.masks.frames import Pixels
from model.masks.nms import nms
from model.spec import Automatic
from model.tasks.parameters import resolve

PROMPTS = 20
Table = dict[str, Any]


def compare(ours: dict[str, Segmenter], clock: Clock, image: Pixels, task: Automatic) -> Iterator[Table]:
    """Automatic masks, then PROMPTS prompts: seconds of the straightforward order, of each of ours, the ratio and
    the masks' agreement. `ours` holds precisions; all have the weights of the first."""
    first = next(iter(ours.values()))
    state, row, device = first.state_dict(), first.sam.row, first.device
    settled, at, prompts = resolve(task, row), clicks(image, PROMPTS), points_task(image, PROMPTS)
    with torch.inference_mode():
        slow, plain = clock.seconds(lambda: straightforward.automatic(state, row, image, settled, device))
    yield from _beside(f"automatic {settled.points_per_side}²", slow, [m for m, _ in plain], ours, clock, image, task)
    with torch.inference_mode():
        slow, asked = clock.seconds(lambda: straightforward.prompted(state, row, image, at, device))
    yield from _beside(f"{PROMPTS} prompts", slow, asked, ours, clock, image, prompts)


def _beside(
    what: str, slow: float, theirs: list[rle.RLE], ours: dict[str, Segmenter], clock: Clock, image: Pixels, task: Any
) -> Iterator[Table]:
    for name, s in ours.items():
        quick, (masks,) = clock.seconds(partial(s.run, [image], [task]))
        alike = agreement([m.rle for m in masks], theirs)
        yield {
            "what": what,
            "precision": name,
            "straightforward s": round(slow, 3),
            "ours s": round(quick, 3),
            "ratio": round(slow / quick, 2),
        } | alike


def networks(s: Segmenter, clock: Clock, image: Pixels) -> list[Table]:
    """Seconds of one image and of 64 points through the networks: transformers', the straightforward ones, ours.

    Best of two each, turn by turn, so that what else runs on the machine meets all of them."""
    row, state = s.sam.row, s.state_dict()
    theirs = _transformers(s)
    pixels = straightforward.prepare(row, image, s.device)
    points = torch.rand(64, 1, 2, generator=torch.Generator().manual_seed(0)).to(s.device) * row.image_size
    labels = torch.ones(64, 1, dtype=torch.int64, device=s.device)
    first = torch.zeros(64, dtype=torch.int64)
    with torch.inference_mode():
        embedding = s.sam.encode(pixels)
        alike = {"input_points": points[None], "input_labels": labels[None], "image_embeddings": embedding}
        encode: dict[str, Callable[[], Any]] = {
            "transformers": lambda: theirs.get_image_embeddings(pixels),
            "straightforward": lambda: straightforward.encode(state, row, pixels),
            "ours": lambda: s.sam.encode(pixels),
        }
        decode: dict[str, Callable[[], Any]] = {
            "transformers": lambda: theirs(**alike),
            "straightforward": lambda: straightforward.decode(state, row, embedding, points, labels),
            "ours": lambda: s.sam.decode(embedding, first, points, labels),
        }
        return [{"what": "encode"} | _best(encode, clock), {"what": "decode 64 points"} | _best(decode, clock)]


def _best(works: dict[str, Callable[[], Any]], clock: Clock) -> Table:
    rounds = [{name: clock.seconds(work)[0] for name, work in works.items()} for _ in range(2)]
    return {f"{name} s": round(min(r[name] for r in rounds), 3) for name in works}


def pipelines(s: Segmenter, clock: Clock, image: Pixels, task: Automatic, points: int) -> Table:
    """Whole automatic generation over points² points by transformers' own pipeline, the straightforward order, ours.

    transformers needs torchvision for suppression by boxes alone; where that is missing ours stands in for it,
    and its masks are not decoded again, so that it is not slower than it is.
    """
    task = replace(task, points_per_side=points)
    settled, row, state = resolve(task, s.sam.row), s.sam.row, s.state_dict()
    generate = _mask_generation(s)
    thresholds = {
        "points_per_batch": 64,
        "points_per_crop": points,
        "pred_iou_thresh": settled.pred_iou_thresh,
        "stability_score_thresh": settled.stability_score_thresh,
        "stability_score_offset": settled.stability_score_offset,
        "crops_nms_thresh": settled.box_nms_thresh,
    }
    theirs, found = clock.seconds(lambda: generate(Image.fromarray(image), **thresholds))
    with torch.inference_mode():
        slow, plain = clock.seconds(lambda: straightforward.automatic(state, row, image, settled, s.device))
    quick, (masks,) = clock.seconds(lambda: s.run([image], [task]))
    size = list(image.shape[:2])
    runs: list[rle.RLE] = [{"size": size, "counts": rle.compress([np.asarray(m["counts"])])[0]} for m in found["masks"]]
    return {
        "what": f"automatic {points}²",
        "transformers s": round(theirs, 3),
        "straightforward s": round(slow, 3),
        "ours s": round(quick, 3),
        "straightforward / transformers": round(slow / theirs, 3),
        "straightforward to transformers": agreement([m for m, _ in plain], runs),
        "ours to transformers": agreement([m.rle for m in masks], runs),
    }


def _transformers(s: Segmenter) -> Any:
    from tests.model.transformers_oracle import oracle

    model: Any = oracle(s.sam.cpu().float())
    s.sam.to(s.device)
    return model.to(s.device)


def _mask_generation(s: Segmenter) -> Any:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
    from transformers.pipelines.mask_generation import MaskGenerationPipeline

    side = s.sam.row.image_size
    processor = SamImageProcessorPil(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    pipeline: Any = MaskGenerationPipeline

    def suppressed(masks: list[Any], scores: torch.Tensor, boxes: torch.Tensor, threshold: float) -> tuple[Any, ...]:
        kept = nms(boxes.cpu().numpy(), scores.cpu().numpy(), threshold)
        return [masks[i] for i in kept], scores[kept], [masks[i] for i in kept], boxes[kept]

    processor.post_process_for_mask_generation = suppressed
    return pipeline(model=_transformers(s), image_processor=processor, device=s.device)
