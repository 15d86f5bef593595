"""`python -m evaluation.correction`: the mean IoU after a correction click, by what is fed back of the earlier mask.

The first click is in the middle of a region, and the correction in the middle of the largest error. Fed back: nothing,
the decoder's own logits, or the binary mask as logits of several strengths. A service that stores masks has the last.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation.data.label_maps import pictures
from evaluation.predictor import Predictor
from model.backends.sam import Segmenter
from model.masks.frames import MASK_PROMPT_LOGIT, mask_logits
from model.masks.rle import encode
from training.clicks import Click, Mask, farthest_inside, iou, next_click

STRENGTHS = (1.0, 4.0, 10.0, 20.0)


def corrected(predictor: Predictor, wanted: Mask) -> Iterator[tuple[str, float]]:
    """The IoU of the first click, and after the correction with each thing fed back."""
    first = Click(*farthest_inside(wanted), True)
    answer = predictor.ask([first])
    mask = answer.masks[answer.best]
    yield "first click", iou(mask, wanted)
    second = next_click(wanted, mask, [first])

    def again(clicks: list[Click], previous: Tensor | None) -> float:
        return iou(predictor.ask(clicks, previous=previous, multimask=False).masks[0], wanted)

    yield "both clicks, nothing", again([first, second], None)
    yield "both clicks, own logits", again([first, second], answer.low[answer.best])
    side, low = predictor.sam.row.image_size, answer.low.shape[-1]
    binary = torch.from_numpy(mask_logits(encode(mask), predictor.frame, side, low)) / MASK_PROMPT_LOGIT
    for strength in STRENGTHS:
        yield f"both clicks, binary, {strength:g}", again([first, second], binary * strength)
    yield "correction alone, own logits", again([second], answer.low[answer.best])
    yield f"correction alone, binary, {MASK_PROMPT_LOGIT:g}", again([second], binary * MASK_PROMPT_LOGIT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.correction", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--ground-truth", type=Path, required=True)
    parser.add_argument("--model", default="sam_tiny")
    parser.add_argument("--min-share", type=float, default=0.005)
    asked = parser.parse_args()
    segmenter = Segmenter.load(asked.model)
    found: dict[str, list[float]] = defaultdict(list)
    for picture in pictures(asked.images, asked.ground_truth, asked.min_share):
        predictor = Predictor(segmenter, picture.image)
        for wanted in picture.regions:
            for name, value in corrected(predictor, wanted):
                found[name].append(value)
    for name, values in found.items():
        print(f"{name:32}{np.mean(values):.3f}   of {len(values)} regions")


if __name__ == "__main__":
    main()
