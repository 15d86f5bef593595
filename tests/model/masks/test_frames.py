"""Frames, crop windows and grids, suppression, small regions, full-size measures: each against something plain."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from model.masks import dense, rle, sparse
from model.masks.frames import frame_of, mask_logits, resize, to_model, whole
from model.masks.nms import nms
from model.masks.regions import without_small_regions
from model.masks.upsample import runs
from model.tasks.crops import windows
from tests.model import plain


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
    expected = Image.fromarray(image[11:100, 7:70].copy()).resize(frame.resized[::-1], Image.BILINEAR)
    assert (resize(image, frame) == np.asarray(expected)).all()
    assert frame.crop_xywh == [7, 11, 63, 89]


def test_points_scale_by_rounded_sizes() -> None:
    frame = whole(333, 1000, 1024)
    assert frame.resized == (341, 1024)
    assert to_model(np.asarray([[1000.0, 333.0]]), frame) == pytest.approx(np.asarray([[1024.0, 341.0]]))


@pytest.mark.parametrize("size", [(480, 640), (33, 1000), (1, 1), (3, 5), (1500, 2250)])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_windows(size: tuple[int, int], layers: int) -> None:
    expected = [(tuple(box), layer) for box, layer in plain.crop_boxes(*size, layers, 512 / 1500)]
    assert windows(*size, layers, 512 / 1500) == expected


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7])
def test_nms_equals_the_plain_loop(threshold: float) -> None:
    random = np.random.default_rng(0)
    for count in (0, 1, 2, 300):
        corner = random.integers(0, 60, (count, 2))
        boxes = np.concatenate([corner, corner + random.integers(0, 40, (count, 2))], 1)
        scores = random.integers(0, 5, count) / 4  # many ties
        found = [plain.Plain(np.zeros((1, 1), bool), b.tolist(), i, 0, [], []) for i, b in enumerate(boxes)]
        expected = [f.iou for f in plain.suppress(found, scores.tolist(), threshold)]
        assert nms(boxes, scores, threshold).tolist() == expected


@pytest.mark.parametrize("fifths", [1, 2, 3, 4])
def test_an_overlap_of_exactly_the_threshold_stays(fifths: int) -> None:
    boxes = np.asarray([[0, 0, 10, 10], [0, 0, 10, 2 * fifths]])
    assert nms(boxes, np.asarray([0.9, 0.8]), fifths / 5).tolist() == [0, 1]
    assert nms(boxes, np.asarray([0.9, 0.8]), fifths / 5 - 1e-6).tolist() == [0]


@pytest.mark.parametrize("area", [1, 5, 40, 10_000])
def test_small_regions(area: int) -> None:
    random = np.random.default_rng(1)
    shapes = [(40, 50), (1, 1), (1, 60), (60, 1), (2, 9), (33, 7)]
    for density, shape in product((0.0, 0.1, 0.3, 0.6, 0.9, 1.0), shapes):
        mask = random.random(shape) < density
        filled, a = plain.without_small(mask, area, True)
        expected, b = plain.without_small(filled, area, False)
        found, changed = without_small_regions(rle.runs(mask), len(mask), area)
        assert found.tolist() == rle.runs(expected).tolist() and changed == (a or b)


FRAMES = [(90, 120), (1, 1), (1, 50), (50, 1), (100, 37), (37, 300), (256, 256), (700, 500), (9, 2000)]


@pytest.mark.parametrize("size", FRAMES)
@pytest.mark.parametrize("sharpness", [0.5, 6, 60])
def test_cells_equal_dense_upsampling(size: tuple[int, int], sharpness: float) -> None:
    frame = whole(*size, 256)
    noise = torch.randn(6, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.interpolate(noise, (64, 64), mode="bicubic")[:, 0].contiguous() * sharpness
    logits[0], logits[1] = 5, -5
    plainly, sparsely = (path.measure(logits, frame, 256, 1.0, 0.0) for path in (dense, sparse))
    assert (plainly.index == sparsely.index).all()
    assert np.allclose(plainly.stability, sparsely.stability, atol=1e-4, equal_nan=True)
    assert (plainly.boxes == sparsely.boxes).all()
    expected = [rle.runs(mask.numpy()).tolist() for mask in dense.upsampled(logits, frame, 256) > 0]
    assert [r.tolist() for r in runs(logits, frame, 256)] == expected
    for path in (dense, sparse):
        stability, lengths = path.trace(logits, frame, 256, 1.0)
        assert np.allclose(stability, plainly.stability, atol=1e-4, equal_nan=True)
        assert [r.tolist() for r in lengths] == expected


@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0])
def test_cells_stability_filter(offset: float) -> None:
    frame = whole(90, 120, 256)
    logits = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(1)) * 2
    logits[3] = -50  # no pixel above −offset: stability NaN, which passes no threshold
    every = dense.measure(logits, frame, 256, offset, 0.0)
    assert np.isnan(every.stability[3])
    threshold = float(np.sort(every.stability)[4])
    for path in (dense, sparse):
        some = path.measure(logits, frame, 256, offset, threshold)
        assert some.index.tolist() == np.flatnonzero(every.stability >= threshold).tolist()
        assert (some.boxes == every.boxes[some.index]).all()


def test_runs_placed_in_the_image() -> None:
    random = np.random.default_rng(2)
    for corner in [(0, 0), (3, 0), (0, 4), (5, 6)]:
        for height in (10, 14):
            image = np.zeros((20, 30), bool)
            crop = random.random((height, 12)) < 0.6
            x0, y0 = corner
            image[y0 : y0 + height, x0 : x0 + 12] = crop
            lengths = rle.placed(rle.runs(crop), crop.shape, corner, image.shape)
            assert lengths.tolist() == rle.runs(image).tolist()
    tall = random.random((20, 5)) < 0.5
    image = np.concatenate([np.zeros((20, 7), bool), tall], 1)
    assert rle.placed(rle.runs(tall), (20, 5), (7, 0), (20, 12)).tolist() == rle.runs(image).tolist()


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
