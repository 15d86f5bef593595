"""The null model follows the protocol, without torch."""

import subprocess
import sys
import time

import numpy as np
import pytest

from model.backends.null import NullSegmenter
from model.errors import PromptOutOfBounds
from model.load import load
from model.masks import rle
from model.spec import Automatic, Prompt, Prompted

IMAGE = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)


def test_torch_stays_out() -> None:
    code = "import sys; from model.load import load; load('null').warm(); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


def test_automatic_masks_are_consistent_and_repeatable() -> None:
    null = load("null")
    (masks,) = null.run([IMAGE], [Automatic()])
    assert len(masks) == 4
    for mask in masks:
        assert (rle.area(mask.rle), rle.bbox(mask.rle)) == (mask.area, mask.bbox)
        assert mask.crop_box == [0, 0, 60, 40] and mask.prompt_id is None
    assert null.run([IMAGE], [Automatic()]) == [masks]
    assert null.run([IMAGE + 1], [Automatic()]) != [masks]
    assert len(null.run([IMAGE], [Automatic(max_masks=2)])[0]) == 2
    assert len(NullSegmenter(masks_per_image=9).run([IMAGE], [Automatic()])[0]) == 9


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (0, 0, 7, 40), (53, 0, 60, 40), (0, 30, 60, 40), (5, 6, 6, 7)])
def test_a_rectangle_is_encoded_as_if_drawn(box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    drawn = np.zeros((40, 60), bool)
    drawn[y0:y1, x0:x1] = True
    (masks,) = load("null").run([IMAGE], [Prompted((Prompt(id="a", box=box),))])
    assert masks[0].rle == rle.encode(drawn)


def test_one_pixel() -> None:
    (masks,) = load("null").run([IMAGE[:1, :1]], [Automatic()])
    assert [m.area for m in masks] == [1]


def test_prompts() -> None:
    task = Prompted((Prompt(id="a", points=((5, 6),), labels=(1,)), Prompt(id="b", box=(3, 4, 20, 30))))
    (masks,) = load("null").run([IMAGE], [task])
    assert [m.prompt_id for m in masks] == ["a", "a", "a", "b"]
    assert masks[0].point_coords == [[5.0, 6.0]]
    assert masks[3].bbox == [3, 4, 17, 26] and masks[3].point_coords is None


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(id="x", points=((61, 0),), labels=(1,)),
        Prompt(id="x", points=((0, -1),), labels=(1,)),
        Prompt(id="x", box=(0, 41, 10, 50)),
        Prompt(id="x", mask=rle.encode(np.zeros((60, 40), bool))),
    ],
    ids=["right", "above", "box", "mask"],
)
def test_prompts_outside(prompt: Prompt) -> None:
    with pytest.raises(PromptOutOfBounds, match="'x'"):
        load("null").run([IMAGE], [Prompted((prompt,))])


def test_delay() -> None:
    slow = NullSegmenter(delay_s=0.02)
    prepared = slow.pre(IMAGE, Automatic())
    start = time.monotonic()
    slow.core([prepared] * 3)
    assert time.monotonic() - start >= 0.06
