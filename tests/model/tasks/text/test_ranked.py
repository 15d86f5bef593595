"""Automatic masks with scores set by hand, and masks of a segmenter of phrases set by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.backends.sam import Segmenter
from model.masks.frames import Pixels
from model.masks.rle import RLE, decode
from model.protocol import Options
from model.spec import Automatic, Exemplar, Text
from model.words.protocol import NATIVE, RANKER, Found, Instances
from tests.model.photographs import photograph

IMAGE = photograph("coins.png")[:150, :200]


class ByArea:
    """A ranker for which larger masks are more like a cat, and smaller ones more like a dog."""

    kind, name, revision, takes_exemplars = RANKER, "by-area", "r1", False
    defaults: Mapping[str, float] = {"box_threshold": 0.0, "nms_threshold": 1.0}

    def rank(self, image: Pixels, masks: Sequence[RLE], phrases: Sequence[str]) -> NDArray[np.float32]:
        areas = np.asarray([decode(mask).sum() for mask in masks]) / image[..., 0].size
        return np.stack([areas, 1 - areas], 1).astype(np.float32)[:, : len(phrases)]


class HandSet:
    """A segmenter of phrases that sees two rectangles, and as many exemplars as it is given."""

    kind, name, revision, takes_exemplars = NATIVE, "hand-set", "n1", True
    defaults: Mapping[str, float] = {"box_threshold": 0.3, "nms_threshold": 0.7}

    def look(self, _image: Pixels, phrases: Sequence[str], exemplars: Sequence[Exemplar]) -> Any:
        return phrases, exemplars

    def segment(self, seen: list[Any]) -> list[Instances]:
        logits = torch.full((2, 15, 20), -9.0)
        logits[0, 3:9, 4:12], logits[1, 0:3, 0:3] = 9.0, 9.0
        boxes = np.asarray([[40, 30, 120, 90], [0, 0, 30, 30]], np.float64)
        shown = [len(exemplars) / 10 for _, exemplars in seen]
        return [Instances(Found(boxes, np.asarray([[0.5], [0.25 + n]], np.float32)), logits) for n in shown]


def test_automatic_masks_are_ranked_for_each_phrase() -> None:
    segmenter = Segmenter.load("sam_tiny", Options(words=ByArea()))
    coarse = {**segmenter.sam.row.automatic, "points_per_side": 8}
    segmenter.sam.row = replace(segmenter.sam.row, automatic=coarse)
    both, few, automatic = segmenter.run([IMAGE] * 3, [Text(("cat", "dog")), Text(("cat",), max_masks=2), Automatic()])
    largest_first = sorted(automatic, key=lambda mask: -mask.area)
    assert len(automatic) > 3
    assert sorted(m.rle["counts"] for m in both if m.phrase == "dog") == sorted(m.rle["counts"] for m in automatic)
    assert [mask.area for mask in both if mask.phrase == "cat"] == [mask.area for mask in largest_first]
    assert {replace(m, phrase=None, score=None).rle["counts"] for m in few} <= {m.rle["counts"] for m in automatic}
    assert [mask.area for mask in few] == [mask.area for mask in largest_first[:2]]
    assert few[0].point_coords is not None and few[0].prompt_id is None


def test_masks_of_a_native_model_and_its_exemplars() -> None:
    segmenter = Segmenter.seeded("sam_tiny", words=HandSet())
    assert segmenter.tasks == ("auto", "prompted", "text", "text_exemplars")
    shown = Text(("cat",), exemplars=(Exemplar("cat", (0, 0, 9, 9)),))
    (one,), (first, second) = segmenter.run([IMAGE, IMAGE], [Text(("cat",)), shown])
    assert (one.phrase, one.score, one.predicted_iou) == ("cat", 0.5, 0.5)
    assert one == first and one.rle["size"] == [150, 200] and abs(one.area - 60 * 80) < 200
    assert second.bbox[:2] == [0, 0] and second.score == float(np.float32(0.35))
