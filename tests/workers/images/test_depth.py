"""Samples of more than 8 bits: by the declared depth, else by the bits in use, or as the job says."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from db.states import Depth, ItemReason, WarningCode
from tests.workers.images.encoding import chunk, gray, pillow, png, read, tiff
from workers.failures import ItemFailed
from workers.images.depth import to_bytes
from workers.images.raster import Raster

RAMP12 = np.arange(4096, dtype=np.uint16).reshape(64, 64)
RAMP16 = np.arange(65536, dtype=np.uint32).astype(np.uint16).reshape(256, 256)


def pgm(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]", maxval: int) -> bytes:
    return b"P5\n%d %d\n%d\n" % (pixels.shape[1], pixels.shape[0], maxval) + pixels.astype(">u2").tobytes()


def png16(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]", extra: bytes = b"") -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], rows, depth=16, colour=0 if pixels.ndim == 2 else 2, extra=extra)


WRITERS: dict[str, Callable[[NDArray[np.uint16]], bytes]] = {
    "png": png16,
    "tiff": lambda pixels: tiff(pixels, photometric="minisblack"),
    "pgm": lambda pixels: pgm(pixels, int(pixels.max())),
    "jpeg 2000": lambda pixels: pillow("JPEG2000", pixels),
}


@pytest.mark.parametrize("writer", ["png", "tiff", "pgm"])
def test_twelve_bits_in_sixteen_keep_256_levels(writer: str) -> None:
    found = read(WRITERS[writer](RAMP12))
    assert np.array_equal(found.pixels, gray((RAMP12 >> 4).astype(np.uint8)))
    assert found.warnings == ((WarningCode.DEPTH_SCALED, "16-bit samples 0–4095 were scaled to 0–255"),)


@pytest.mark.parametrize("writer", list(WRITERS))
def test_sixteen_bits_give_their_high_byte(writer: str) -> None:
    found = read(WRITERS[writer](RAMP16))
    assert np.array_equal(found.pixels, gray((RAMP16 >> 8).astype(np.uint8)))


@pytest.mark.parametrize("writer", ["png", "tiff"])
def test_full_range_gives_the_high_byte_whatever_is_in_use(writer: str) -> None:
    found = read(WRITERS[writer](RAMP12), Depth.FULL_RANGE)
    assert np.array_equal(found.pixels, gray((RAMP12 >> 8).astype(np.uint8)))
    assert found.warnings == ((WarningCode.DEPTH_SCALED, "16-bit samples 0–65535 were scaled to 0–255"),)


@pytest.mark.parametrize("writer", ["png", "tiff", "jpeg 2000"])
def test_percentiles_use_the_whole_range(writer: str) -> None:
    dim = (RAMP12 // 4 + 20_000).astype(np.uint16)
    found = read(WRITERS[writer](dim), Depth.PERCENTILES).pixels
    assert found.min() == 0 and found.max() == 255 and len(np.unique(found)) == 256


def test_a_hot_pixel_does_not_move_the_percentiles() -> None:
    hot = RAMP12.copy()
    hot[5, 5] = 65535
    cold = read(png16(RAMP12), Depth.PERCENTILES).pixels.astype(int)
    found = read(png16(hot), Depth.PERCENTILES).pixels.astype(int)
    found[5, 5] = cold[5, 5]
    assert np.abs(found - cold).max() <= 1


def test_a_colour_keeps_its_hue() -> None:
    """One range for all bands."""
    pixels = np.stack([RAMP12, RAMP12 // 2, RAMP12 // 4], -1).astype(np.uint16)
    assert np.array_equal(read(png16(pixels)).pixels, (pixels >> 4).astype(np.uint8))


@pytest.mark.parametrize("maxval", [1, 3, 100, 254, 255, 256, 1000, 4095, 65535])
def test_a_pgm_is_scaled_by_its_own_maximum(maxval: int) -> None:
    levels = np.linspace(0, maxval, 64).astype(np.uint16).reshape(8, 8)
    body = levels.astype(np.uint8).tobytes() if maxval < 256 else levels.astype(">u2").tobytes()
    found = read(b"P5 8 8 %d\n" % maxval + body).pixels[..., 0]
    assert np.abs(found - levels * (255 / maxval)).max() < 1
    assert found.min() == 0 and found.max() == 255


def test_a_dark_pgm_stays_dark() -> None:
    assert read(pgm(np.full((8, 8), 300, np.uint16), 65535)).pixels.max() == 1


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_a_tiff_of_packed_samples_declares_its_depth(bits: int) -> None:
    dim = np.arange(256, dtype=np.uint16).reshape(16, 16)
    found = read(tiff(dim, photometric="minisblack", bitspersample=bits)).pixels
    assert np.array_equal(found, gray((dim >> (bits - 8)).astype(np.uint8)))


def test_a_tiff_may_name_its_largest_sample() -> None:
    dim = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for tag in (281, 341):
        file = tiff(dim, photometric="minisblack", extratags=[(tag, 3, 1, 4095, True)])
        assert np.array_equal(read(file).pixels, gray((dim >> 4).astype(np.uint8)))
        lie = tiff(RAMP16, photometric="minisblack", extratags=[(tag, 3, 1, 4095, True)])
        assert np.array_equal(read(lie).pixels, gray((RAMP16 >> 8).astype(np.uint8)))


def test_a_png_may_name_its_significant_bits() -> None:
    dim = np.arange(256, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(read(png16(dim, chunk(b"sBIT", b"\x0c"))).pixels, gray((dim >> 4).astype(np.uint8)))
    # Scaled to 16 bits, as the standard asks, the samples exceed 12 bits and are taken as they are.
    scaled = read(png16(RAMP16, chunk(b"sBIT", b"\x0c"))).pixels
    assert np.array_equal(scaled, gray((RAMP16 >> 8).astype(np.uint8)))


def test_eight_bit_values_in_a_wide_file_stay_as_they_are() -> None:
    labels = np.arange(200, dtype=np.uint16).reshape(10, 20)
    assert np.array_equal(read(png16(labels)).pixels, gray(labels.astype(np.uint8)))


@pytest.mark.parametrize("value", [0, 7, 65535])
@pytest.mark.parametrize("depth", list(Depth))
def test_one_value_everywhere_is_no_error(depth: Depth, value: int) -> None:
    assert read(png16(np.full((8, 8), value, np.uint16)), depth).pixels.shape == (8, 8, 3)


def test_not_a_number_is_black_and_counts_for_nothing() -> None:
    samples = np.linspace(-5, 5, 10_000, dtype=np.float32).reshape(100, 100)
    holes = samples.copy()
    holes[50, :50], holes[51, :50] = np.nan, np.inf
    found, said = to_bytes(Raster(holes), Depth.PERCENTILES)
    assert found[50, :50].max() == 0 and found[51, :50].min() == 255 and found[0, 0] == 0 and found[-1, -1] == 255
    assert said[0][1].startswith("32-bit float samples -4.9")
    with pytest.raises(ItemFailed) as raised:
        to_bytes(Raster(np.full((4, 4), np.nan, np.float32)), Depth.PERCENTILES)
    assert raised.value.reason is ItemReason.DECODE_FAILED
