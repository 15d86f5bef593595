"""Frames: sizes, resizing, points and mask prompts."""

import numpy as np
import pytest
from PIL import Image

from model.masks import rle
from model.masks.frames import frame_of, mask_logits, resize, to_model, whole


@pytest.mark.parametrize(
    ("size", "resized"),
    [((1, 1), (1024, 1024)), ((1, 4000), (1, 1024)), ((4000, 1), (1024, 1)), ((600, 800), (768, 1024))],
)
def test_resized_sizes(size: tuple[int, int], resized: tuple[int, int]) -> None:
    frame = whole(*size, 1024)
    assert frame.resized == resized and frame.size == size
    assert resize(np.zeros((*size, 3), np.uint8), frame).shape == (*resized, 3)


def test_resize_is_pillows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (123, 77, 3), dtype=np.uint8)
    frame = frame_of((123, 77), (7, 11, 70, 100), 256)
    expected = Image.fromarray(image[11:100, 7:70].copy()).resize(frame.resized[::-1], Image.Resampling.BILINEAR)
    assert (resize(image, frame) == np.asarray(expected)).all()
    assert frame.crop_xywh == [7, 11, 63, 89]


def test_points_scale_by_rounded_sizes() -> None:
    frame = whole(333, 1000, 1024)
    assert frame.resized == (341, 1024)
    assert to_model(np.asarray([[1000.0, 333.0]]), frame) == pytest.approx(np.asarray([[1024.0, 341.0]]))


def test_a_stretched_crop_fills_the_square() -> None:
    frame = frame_of((96, 150), (10, 20, 110, 70), 128, stretched=True)
    assert (frame.resized, frame.size, whole(96, 150, 128, True).resized) == ((128, 128), (50, 100), (128, 128))
    assert to_model(np.asarray([[100.0, 25.0]]), frame).tolist() == [[128.0, 64.0]]


def test_mask_prompt_rule() -> None:
    mask = np.zeros((100, 200), bool)
    mask[:, :50] = True
    logits = mask_logits(rle.encode(mask), whole(100, 200, 256), 256, 64)
    assert logits.shape == (1, 64, 64) and logits.dtype == np.float32
    assert (logits[0, :32, :15] == 20).all() and (logits[0, :32, 17:] == -20).all()
    assert (logits[0, 32:] == -20).all(), "padding is outside every mask"


def test_a_read_only_picture_of_the_model_s_own_size_is_copied() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    image.flags.writeable = False
    found = resize(image, whole(40, 64, 64))
    assert found.flags.writeable
    assert np.array_equal(found, image)
