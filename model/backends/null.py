"""A segmenter without a network, for tests: rectangles that depend on the image's content.

It does not import torch. The same image and task give the same masks on every machine.
"""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.protocol import Options
from model.spec import Automatic, Prompt, Prompted, Task, Text, Wanted
from model.tasks.bounds import fit_all

EMBEDDING_SHAPE = (4, 8, 8)


@dataclass(frozen=True)
class NullPrepared:
    """An image's size, a checksum of its pixels, and what is wanted of it."""

    height: int
    width: int
    checksum: int
    wanted: Wanted
    encode_ms: float = 0.0


class NullSegmenter:
    """Draws rectangles. `core` sleeps `delay_s` for each image.

    An automatic task gets at most `masks_per_image` masks, all different.
    """

    name = "null"
    revision = "null-1"
    precision = "exact"
    device = "cpu"
    batch_images = 4
    tasks: tuple[str, ...] = ("auto", "prompted", "text")

    def __init__(self, delay_s: float = 0.0, masks_per_image: int = 4) -> None:
        self.delay_s = delay_s
        self.masks_per_image = masks_per_image

    @classmethod
    def load(cls, _name: str, _options: Options) -> "NullSegmenter":
        """There is nothing to load."""
        return cls()

    def revision_of(self, _task: str) -> str:
        return self.revision

    def pre(self, image: Pixels, wanted: Wanted) -> NullPrepared:
        height, width = image.shape[:2]
        return NullPrepared(height, width, zlib.crc32(np.ascontiguousarray(image).data), wanted)

    def core(self, batch: list[NullPrepared]) -> list[NullPrepared]:
        time.sleep(self.delay_s * len(batch))
        return batch

    def post(self, raw: NullPrepared) -> list[Mask]:
        return _masks(raw, RECTANGLES[type(raw.wanted)](raw, raw.wanted, self.masks_per_image))

    def post_embedding(self, raw: NullPrepared) -> NDArray[np.float16]:
        random = np.random.default_rng(raw.checksum)
        return random.standard_normal(EMBEDDING_SHAPE, dtype=np.float32).astype(np.float16)

    def run(self, images: Sequence[Pixels], tasks: Sequence[Task]) -> list[list[Mask]]:
        fitted = (fit_all(task, *image.shape[:2]) for image, task in zip(images, tasks, strict=True))
        prepared = [self.pre(image, task) for image, task in zip(images, fitted, strict=True)]
        return [self.post(raw) for raw in self.core(prepared)]

    def warm(self) -> None:
        self.run([np.zeros((8, 8, 3), dtype=np.uint8)], [Automatic()])


class _Rectangle(NamedTuple):
    """A rectangle that becomes a mask. `box`: x0, y0, x1, y1 with exclusive ends."""

    box: tuple[int, int, int, int]
    iou: float
    coords: list[list[float]] | None
    prompt_id: str | None
    phrase: str | None = None
    score: float | None = None


def _random_box(random: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 (exclusive ends), at least one pixel."""
    x0, y0 = int(random.integers(width)), int(random.integers(height))
    return x0, y0, int(random.integers(x0, width)) + 1, int(random.integers(y0, height)) + 1


def _everywhere(raw: NullPrepared, task: Automatic, most: int) -> list[_Rectangle]:
    random = np.random.default_rng(raw.checksum)
    count = min(most, task.max_masks or most)
    boxes = dict.fromkeys(_random_box(random, raw.height, raw.width) for _ in range(count))
    return [_Rectangle(box, 1 - i / 1000, None, None) for i, box in enumerate(boxes)]


def _prompted(raw: NullPrepared, task: Prompted, _most: int) -> list[_Rectangle]:
    return [one for prompt in task.prompts for one in _of_prompt(raw, prompt)]


def _of_phrases(raw: NullPrepared, task: Text, most: int) -> list[_Rectangle]:
    """Up to two rectangles for each phrase, by the letters of the phrase and the image's content."""
    return [one for phrase in task.phrases for one in _of_phrase(raw, phrase, min(2, most, task.max_masks or 2))]


def _of_phrase(raw: NullPrepared, phrase: str, count: int) -> list[_Rectangle]:
    random = np.random.default_rng([raw.checksum, zlib.crc32(phrase.encode())])
    boxes = dict.fromkeys(_random_box(random, raw.height, raw.width) for _ in range(count))
    return [_Rectangle(box, 0.9, None, None, phrase, 0.75 - i / 4) for i, box in enumerate(boxes)]


RECTANGLES: Mapping[type, Callable[[NullPrepared, Any, int], list[_Rectangle]]] = MappingProxyType(
    {Automatic: _everywhere, Prompted: _prompted, Text: _of_phrases}
)


def _of_prompt(raw: NullPrepared, prompt: Prompt) -> list[_Rectangle]:
    """The prompt's box, else a square around its first point, else the whole image. Three masks shrink."""
    coords = [[float(x), float(y)] for x, y in prompt.points] or None
    boxes = [_around(prompt, raw.height, raw.width, 8 >> i) for i in range(3 if prompt.three_masks else 1)]
    return [_Rectangle(box, 0.9 - i / 10, coords, prompt.id) for i, box in enumerate(boxes)]


def _around(prompt: Prompt, height: int, width: int, reach: int) -> tuple[int, int, int, int]:
    if prompt.box is not None:
        x0, y0, x1, y1 = (int(v) for v in prompt.box)
    elif prompt.points:
        x, y = (int(v) for v in prompt.points[0])
        x0, y0, x1, y1 = x - reach, y - reach, x + reach, y + reach
    else:
        x0, y0, x1, y1 = 0, 0, width, height
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, min(max(x1, x0 + 1), width), min(max(y1, y0 + 1), height)


def _masks(raw: NullPrepared, rectangles: list[_Rectangle]) -> list[Mask]:
    """From runs, without drawing pixels: measurements of the service must not include this model's time."""
    counts = rle.compress([_runs(one.box, raw.height, raw.width) for one in rectangles])
    return [_mask(raw, one, text) for one, text in zip(rectangles, counts, strict=True)]


def _runs(box: tuple[int, int, int, int], height: int, width: int) -> rle.Runs:
    """A rectangle's run lengths, column by column, background first."""
    x0, y0, x1, y1 = box
    inside, between = y1 - y0, height - (y1 - y0)
    columns = [inside, between] * (x1 - x0 - 1) + [inside] if between else [inside * (x1 - x0)]
    lengths = [x0 * height + y0, *columns]
    rest = height * width - sum(lengths)
    return np.array([*lengths, rest] if rest else lengths, dtype=np.int64)


def _mask(raw: NullPrepared, one: _Rectangle, counts: str) -> Mask:
    x0, y0, x1, y1 = one.box
    centre = [[(x0 + x1) / 2, (y0 + y1) / 2]] if one.prompt_id is None and one.phrase is None else None
    return Mask(
        rle={"size": [raw.height, raw.width], "counts": counts},
        bbox=[x0, y0, x1 - x0, y1 - y0],
        area=(x1 - x0) * (y1 - y0),
        predicted_iou=one.iou,
        stability_score=1.0,
        point_coords=one.coords or centre,
        crop_box=[0, 0, raw.width, raw.height],
        prompt_id=one.prompt_id,
        phrase=one.phrase,
        score=one.score,
    )
