"""Boxes of a detector become masks: with boxes set by hand, those of a prompted job with the same boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.backends.sam import Segmenter
from model.errors import ModelError, TaskNotServed
from model.masks.frames import Pixels
from model.protocol import Options
from model.spec import Prompt, Prompted, Text
from model.words.protocol import DETECTOR, Found

IMAGE = np.random.default_rng(3).integers(0, 255, (90, 120, 3), dtype=np.uint8)
DARK = IMAGE // 3
BOXES = np.asarray([[5.5, 3, 60, 70], [40, 20, 119.25, 88], [-9, 10, 30, 300]], np.float64)
SCORES = np.asarray([[0.5, 0.1], [0.25, 0.75], [0.625, 0.125]], np.float32)


class HandSet:
    """A detector that finds nothing in a dark image, and the boxes above in others."""

    kind, name, revision, takes_exemplars = DETECTOR, "hand-set", "h1", False
    defaults: Mapping[str, float] = {"box_threshold": 0.2, "nms_threshold": 0.9}

    def look(self, image: Pixels, phrases: Sequence[str]) -> Any:
        return bool(image.max() > 100), len(phrases)

    def detect(self, seen: list[Any]) -> list[Found]:
        return [Found(BOXES[: 3 * bright], SCORES[: 3 * bright, :n]) for bright, n in seen]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("sam_tiny", Options(words=HandSet()))


def test_masks_equal_those_of_a_prompted_job_with_the_same_boxes(segmenter: Segmenter) -> None:
    assert segmenter.tasks == ("auto", "prompted", "text")
    text = Text(("a cat", "a dog"))
    boxes: list[tuple[float, float, float, float]] = [(0, 10, 30, 90), (5.5, 3, 60, 70), (40, 20, 119.25, 88)]
    prompted = Prompted((*(Prompt(box=box) for box in boxes), Prompt(box=boxes[2])))
    found, nothing, asked = segmenter.run([IMAGE, DARK, IMAGE], [text, text, prompted])
    assert nothing == []
    named = [(mask.phrase, mask.score) for mask in found]
    assert named == [("a cat", 0.625), ("a cat", 0.5), ("a cat", 0.25), ("a dog", 0.75)]
    assert [replace(mask, phrase=None, score=None) for mask in found] == [replace(m, prompt_id=None) for m in asked]
    assert all(mask.area for mask in found)


def test_what_text_needs(segmenter: Segmenter) -> None:
    assert (segmenter.revision_of("auto"), segmenter.revision_of("text")) == (
        segmenter.revision,
        f"{segmenter.revision}+h1",
    )
    with pytest.raises(ModelError, match="needs the image"):
        segmenter.run_embedded(segmenter.embed(IMAGE), Text(("a cat",)))
    with pytest.raises(TaskNotServed):
        Segmenter.seeded("sam_tiny").run([IMAGE], [Text(("a cat",))])
