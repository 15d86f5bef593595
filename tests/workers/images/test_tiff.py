"""TIFF: exact pixels, or a refusal with a reason. Files are written by tifffile from arrays that are known."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from db.states import Depth, ItemReason, WarningCode
from model.tiles.grid import Window
from tests.workers.images.encoding import CAP, case, gray, noise, pillow, plain, read, smooth, tiff
from workers.failures import ItemFailed
from workers.images import decode
from workers.images.windows import open_windows

RGB = noise()
GRAY = RGB[..., 0]
NIR = smooth()[..., 0]
RGB16 = RGB.astype(np.uint16) * 257
LAYOUTS: list[dict[str, Any]] = [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}, {"tile": (128, 128)}]
LOSSLESS = [None, "lzw", "zlib", "adobe_deflate", "packbits", "lzma", "zstd"]


def codes(warnings: Any) -> list[WarningCode]:
    return [code for code, _ in warnings]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("pixels", [RGB, RGB16], ids=["8", "16"])
def test_rgb(
    pixels: NDArray[Any], byteorder: str, planar: str, compression: str | None, layout: dict[str, Any]
) -> None:
    stored = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
    predictor = compression not in (None, "packbits")
    file = tiff(
        stored,
        photometric="rgb",
        planarconfig=planar,
        byteorder=byteorder,
        compression=compression,
        predictor=predictor,
        **layout,
    )
    found = read(file)
    assert np.array_equal(found.pixels, RGB) and found.frames == 1
    assert codes(found.warnings) == ([] if pixels is RGB else [WarningCode.DEPTH_SCALED])


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int16", "int32"])
def test_gray(kind: str, photometric: str, layout: dict[str, Any]) -> None:
    """Signed types end at half the range, so their upper 8 bits are one bit further down."""
    bits = np.iinfo(kind).bits - (kind[0] == "i")
    stored = GRAY.astype(kind) << (bits - 8)
    found = read(tiff(stored, photometric=photometric, **layout))
    expected = 255 - GRAY if photometric == "miniswhite" else GRAY
    assert np.array_equal(found.pixels, gray(expected))


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits_fill_the_range(photometric: str, bits: int) -> None:
    stored = GRAY >> (8 - bits)
    expected = np.round(stored * (255 / ((1 << bits) - 1))).astype(np.uint8)
    found = read(tiff(stored, photometric=photometric, bitspersample=bits)).pixels
    assert np.array_equal(found, gray(255 - expected if photometric == "miniswhite" else expected))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("n_bands", [4, 5, 12])
def test_further_bands_are_left_out(n_bands: int, layout: dict[str, Any], photometric: str, planar: str) -> None:
    stored = np.concatenate([RGB] + [NIR[..., None]] * (n_bands - 3), axis=2)
    if planar == "separate":
        stored = np.moveaxis(stored, 2, 0)
    extra = ["unspecified"] * (n_bands - (3 if photometric == "rgb" else 1))
    found = read(tiff(stored, photometric=photometric, planarconfig=planar, extrasamples=extra, **layout))
    assert np.array_equal(found.pixels, RGB)
    assert found.warnings == ((WarningCode.BANDS_IGNORED, f"the file has {n_bands} bands; the first 3 were taken"),)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha", "unspecified"])
def test_gray_with_another_band_is_gray(alpha: str, kind: str) -> None:
    stored = np.stack([GRAY, NIR], -1).astype(kind) * (1 if kind == "uint8" else 257)
    found = read(tiff(stored, photometric="minisblack", planarconfig="contig", extrasamples=[alpha]))
    assert np.array_equal(found.pixels, gray(GRAY))
    assert codes(found.warnings)[0] is WarningCode.BANDS_IGNORED


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("tiff_rgb16_planar.tif", [WarningCode.DEPTH_SCALED]),
        ("tiff_rgbn8_planar.tif", [WarningCode.BANDS_IGNORED]),
        ("tiff_rgbn8_minisblack.tif", [WarningCode.BANDS_IGNORED]),
    ],
)
def test_case_files_in_colour(name: str, warned: list[WarningCode]) -> None:
    found = read(case(name))
    assert np.array_equal(found.pixels, plain()) and codes(found.warnings) == warned


def test_case_files_in_gray() -> None:
    red = gray(plain()[..., 0])
    white = read(case("tiff_gray16_miniswhite.tif")).pixels
    assert np.array_equal(white, 255 - _stored("tiff_gray16_miniswhite.tif", 8))
    assert np.array_equal(read(case("tiff_int32_full.tif")).pixels, _stored("tiff_int32_full.tif", 23))
    assert np.array_equal(read(case("tiff_grayalpha16.tif")).pixels, _stored("tiff_grayalpha16.tif", 8))
    assert white.shape == red.shape


def _stored(name: str, shift: int) -> NDArray[np.uint8]:
    """The uncompressed samples of a case file, straight from its bytes."""
    file, (height, width) = case(name), plain().shape[:2]
    size = 4 if shift > 8 else 2
    bands = 2 if "alpha" in name else 1
    start = len(file) - height * width * size * bands
    kind = np.dtype(f"<u{size}")
    pixels = np.frombuffer(file, kind, height * width * bands, _strip(file))
    assert start >= 0
    return gray((pixels.reshape(height, width, bands)[..., 0] >> shift).astype(np.uint8))


def _strip(file: bytes) -> int:
    """Where the one strip of a little-endian TIFF begins."""
    (at,) = struct.unpack_from("<I", file, 4)
    (n,) = struct.unpack_from("<H", file, at)
    entries = {struct.unpack_from("<H", file, at + 2 + 12 * i)[0]: at + 10 + 12 * i for i in range(n)}
    return int(struct.unpack_from("<I", file, entries[273])[0])


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64"])
def test_floats_are_refused_unless_the_job_says_how(kind: str) -> None:
    file = tiff(GRAY.astype(kind) / 255, photometric="minisblack")
    with pytest.raises(ItemFailed) as raised:
        read(file)
    assert raised.value.reason is ItemReason.UNSUPPORTED_FORMAT
    if kind != "complex64":
        found = read(file, Depth.PERCENTILES).pixels[..., 0]
        assert np.array_equal(np.argsort(found.ravel()[:50]), np.argsort(found.ravel()[:50]))
        assert found.min() == 0 and found.max() == 255


def test_negative_samples_are_refused_unless_the_job_says_how() -> None:
    file = tiff(GRAY.astype(np.int16) - 100, photometric="minisblack")
    with pytest.raises(ItemFailed, match="negative samples have no known range"):
        read(file)
    assert np.abs(read(file, Depth.PERCENTILES).pixels[..., 0].astype(int) - GRAY).max() <= 2


def test_palettes() -> None:
    colours = np.random.default_rng(2).integers(0, 65536, (3, 256)).astype(np.uint16)
    expected = (colours >> 8).astype(np.uint8).T[GRAY]
    assert np.array_equal(read(tiff(GRAY, photometric="palette", colormap=colours)).pixels, expected)
    small = (colours >> 8).astype(np.uint16)  # as writers do that forget the scale
    assert np.array_equal(read(tiff(GRAY, photometric="palette", colormap=small)).pixels, expected)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_cmyk_is_read_as_pillow_reads_it(kind: str) -> None:
    image = Image.fromarray(RGB).convert("CMYK")
    stored = np.asarray(image).astype(kind) * (1 if kind == "uint8" else 257)
    found = read(tiff(stored, photometric="separated", planarconfig="contig"))
    assert np.array_equal(found.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("compression", ["raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "packbits"])
@pytest.mark.parametrize("inverted", [False, True])
def test_two_levels_written_by_libtiff(inverted: bool, compression: str) -> None:
    image = Image.fromarray(smooth()).convert("1")
    tags = {262: 0} if inverted else {}
    file = pillow("TIFF", image, compression=compression, tiffinfo=tags)
    again = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    assert np.array_equal(read(file).pixels, again)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK"])
def test_modes_written_by_libtiff(mode: str, compression: str) -> None:
    image = Image.fromarray(RGB)
    image = Image.fromarray(GRAY.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    expected = gray(GRAY) if mode == "I;16" else np.asarray(image.convert("RGB"))
    assert np.array_equal(read(pillow("TIFF", image, compression=compression)).pixels, expected)


@pytest.mark.parametrize("tiled", [False, True])
def test_jpeg_inside_is_what_libtiff_reads(tiled: bool) -> None:
    if tiled:
        file = tiff(smooth(), photometric="rgb", compression="jpeg", tile=(32, 32))
    else:
        file = pillow("TIFF", smooth(), compression="jpeg")
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    assert np.abs(read(file).pixels - expected).max() <= 4  # chroma is smoothed by one reader only
    assert np.abs(read(file).pixels - smooth().astype(int)).mean() < 8


@pytest.mark.parametrize("bigtiff", [False, True])
def test_each_page_is_an_image(bigtiff: bool) -> None:
    pages = [RGB, smooth(), RGB[::-1]]
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=bigtiff) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None, subifds=0)
            writer.write(page[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)  # a smaller copy
    file = out.getvalue()
    for number, page in enumerate(pages, 1):
        found = decode(file, CAP, page=number)
        assert np.array_equal(found.pixels, page) and (found.frames, found.warnings) == (3, ())
        with open_windows(file, CAP, number=number) as windows:
            assert np.array_equal(windows.read(Window(10, 5, 30, 20)), page[5:25, 10:40])
    for wanted, why in (
        (None, "3 pages: name one as #page=1 … #page=3"),
        (4, "no page 4: the TIFF has 3"),
    ):
        with pytest.raises(ItemFailed, match=why) as raised:
            decode(file, CAP, page=wanted)
        assert raised.value.reason is ItemReason.WRONG_PAGE
    with pytest.raises(ItemFailed, match="a PNG file has no pages"):
        decode(pillow("PNG", RGB), CAP, page=1)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_are_those_that_were_asked_for(planar: str) -> None:
    stored = np.stack([GRAY, NIR, 255 - GRAY, NIR[::-1], GRAY[::-1]], -1)
    layout: dict[str, Any] = {"planarconfig": planar, "extrasamples": ["unspecified"] * 4, "tile": (32, 32)}
    apart = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
    file = tiff(apart, photometric="minisblack", **layout)
    found = decode(file, CAP, bands=(4, 3, 2))
    assert np.array_equal(found.pixels, stored[..., [3, 2, 1]]) and found.warnings == ()
    assert np.array_equal(decode(file, CAP, bands=(5,)).pixels, gray(GRAY[::-1]))
    with open_windows(file, CAP, bands=(5, 1, 2)) as windows:
        assert np.array_equal(windows.read(Window(40, 30, 20, 31)), stored[30:61, 40:60][..., [4, 0, 1]])
    for data, bands, why in ((file, (6,), "no band 6: the file has 5"), (pillow("PNG", RGB), (1,), "of a TIFF only")):
        with pytest.raises(ItemFailed, match=why):
            decode(data, CAP, bands=bands)


def test_an_imagej_stack_in_one_page_is_not_its_first_plane() -> None:
    with pytest.raises(ItemFailed, match="an ImageJ stack of 12 planes"):
        read(tiff(GRAY, photometric="minisblack", description="ImageJ=1.54f\nimages=12\nslices=12\n", metadata=None))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    found = read(tiff(RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, True)]))
    assert found.orientation == orientation
    assert found.pixels.shape == ((61, 83, 3) if orientation < 5 else (83, 61, 3))


REFUSED: dict[str, dict[str, Any]] = {
    "lab": {"photometric": "cielab"},
    "webp": {"photometric": "rgb", "compression": "webp"},
    "jpeg xl": {"photometric": "rgb", "compression": "jpegxl"},
    "jpeg 2000": {"photometric": "rgb", "compression": "jpeg2000"},
    "ycbcr": {"photometric": "ycbcr"},
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_not_exact_is_refused(name: str) -> None:
    with pytest.raises(ItemFailed) as raised:
        read(tiff(RGB, **REFUSED[name]))
    assert raised.value.reason is ItemReason.UNSUPPORTED_FORMAT
    assert "not read" in raised.value.detail or "read only" in raised.value.detail


def test_a_sparse_file_is_refused() -> None:
    file = tiff(RGB, photometric="rgb", rowsperstrip=7)
    at = _entry(file, 279)
    (offset,) = struct.unpack_from("<I", file, at + 8)
    size = 2 if struct.unpack_from("<H", file, at + 2)[0] == 3 else 4
    sparse = file[: offset + 3 * size] + bytes(size) + file[offset + 4 * size :]
    with pytest.raises(ItemFailed, match="strip or tile 3 is absent"):
        read(sparse)


def _entry(file: bytes, tag: int) -> int:
    (at,) = struct.unpack_from("<I", file, 4)
    (n,) = struct.unpack_from("<H", file, at)
    return next(a for a in range(at + 2, at + 2 + 12 * n, 12) if struct.unpack_from("<H", file, a)[0] == tag)


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 284])
@pytest.mark.parametrize("kind", range(0, 20))
def test_one_wrong_type_gives_the_same_pixels_or_an_error(tag: int, kind: int) -> None:
    file = tiff(RGB, photometric="rgb", rowsperstrip=7, planarconfig="contig")
    at = _entry(file, tag)
    wrong = file[: at + 2] + struct.pack("<H", kind) + file[at + 4 :]
    try:
        found = read(wrong)
    except ItemFailed as failed:
        assert failed.reason in (ItemReason.DECODE_FAILED, ItemReason.UNSUPPORTED_FORMAT, ItemReason.IMAGE_TOO_LARGE)
    else:
        assert np.array_equal(found.pixels, RGB)


OTHERS = [270, 271, 305, 306, 282, 283, 296, 34665, 34853, 33550, 42112, 34412, 50839, 700, 34377]


@pytest.mark.parametrize("tag", OTHERS)
@pytest.mark.parametrize("kind", range(0, 20))
def test_other_damaged_tags_do_not_matter(tag: int, kind: int) -> None:
    extra = [(65000, 2, 9, b"12345678\0", True)]
    file = tiff(RGB, photometric="rgb", metadata=None, software=False, resolution=None, extratags=extra)
    at = _entry(file, 65000)
    wrong = file[:at] + struct.pack("<HHI", tag, kind, 2**31) + file[at + 8 :]
    assert np.array_equal(read(wrong).pixels, RGB)


def test_a_tag_of_millions_of_numbers_is_refused() -> None:
    file = tiff(RGB, photometric="rgb", extratags=[(65000, 4, 2_000_000, [0] * 2_000_000, True)])
    with pytest.raises(ItemFailed, match="2000000 values"):
        read(file)


def test_a_tile_larger_than_the_limit_is_refused() -> None:
    file = bytearray(tiff(RGB, photometric="rgb", tile=(16, 16), compression="zlib"))
    for tag in (322, 323):
        at = _entry(bytes(file), tag)
        file[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 65536)
    with pytest.raises(ItemFailed) as raised:
        decode(bytes(file), CAP)
    assert raised.value.reason is ItemReason.IMAGE_TOO_LARGE
