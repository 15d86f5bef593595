"""PNG: pixels are all that is needed, and all pixels are needed."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from db.states import ItemReason
from tests.workers.images.encoding import CAP, case, chunk, gray, noise, pillow, plain, png, read, smooth
from workers.failures import ItemFailed
from workers.images import decode

DAMAGED = {
    "iCCP of 2 MB": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2_000_000))),
    "zTXt of 2 MB": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 2_000_000)),
    "iTXt of 2 MB": chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000)),
    "tEXt of 2 MB": chunk(b"tEXt", b"k\0" + b"a" * 2_000_000),
    "200 texts of 1 MB each": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 1_000_000)) * 200,
    "zTXt that is no zlib": chunk(b"zTXt", b"k\0\0garbage"),
    "empty texts": chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b""),
    **{f"{name.decode()} with a bad CRC": chunk(name, b"1234567890", crc=1) for name in (b"iCCP", b"pHYs", b"gAMA")},
    **{f"short {name.decode()}": chunk(name, b"1") for name in (b"iCCP", b"pHYs", b"gAMA", b"cHRM", b"tIME", b"eXIf")},
    "tRNS with a bad CRC": chunk(b"tRNS", b"\0\1\0\1\0\1", crc=1),
    "two of each": 2 * (chunk(b"gAMA", b"\0\0\0\1") + chunk(b"sRGB", b"\0")),
    "private": chunk(b"prIv", b"x" * 100, crc=1),
}


def rows(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


@pytest.mark.parametrize("name", list(DAMAGED))
def test_metadata_does_not_matter(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = smooth(20, 30)
    file = png(30, 20, rows(pixels), extra=DAMAGED[name])
    assert np.array_equal(read(file).pixels, pixels)
    assert capfd.readouterr().err == ""  # libpng writes what it dislikes to the process's own stderr


@pytest.mark.parametrize(
    "name", ["png_iccp_2mb.png", "png_iccp_badcrc.png", "png_phys_badcrc.png", "png_ztxt_2mb.png", "plain.png"]
)
def test_case_files(name: str) -> None:
    assert np.array_equal(read(case(name)).pixels, plain())


@pytest.mark.parametrize("present", range(32))
def test_missing_rows_are_an_error(present: int) -> None:
    pixels = noise(32, 32)
    with pytest.raises(ItemFailed) as raised:
        read(png(32, 32, rows(pixels)[: present * 97]))
    assert raised.value.reason is ItemReason.DECODE_FAILED
    assert np.array_equal(read(png(32, 32, rows(pixels))).pixels, pixels)


def test_critical_chunks_with_a_bad_crc_are_an_error() -> None:
    good = pillow("PNG", smooth())
    for name in (b"IHDR", b"IDAT"):
        at = good.index(name) - 4
        (length,) = struct.unpack_from(">I", good, at)
        bad = bytearray(good)
        bad[at + 8 + length] ^= 0xFF
        with pytest.raises(ItemFailed) as raised:
            read(bytes(bad))
        assert raised.value.reason is ItemReason.DECODE_FAILED


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_gray_fill_the_range(bits: int) -> None:
    levels = np.arange(1 << bits, dtype=np.uint8)
    packed = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, -bits:].ravel())
    found = read(png(len(levels), 1, b"\0" + packed.tobytes(), depth=bits, colour=0)).pixels
    assert found[0, :, 0].tolist() == [round(v * 255 / (len(levels) - 1)) for v in range(len(levels))]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_are_exact(mode: str) -> None:
    image = Image.fromarray(noise()).convert(mode)
    assert np.array_equal(read(pillow("PNG", image)).pixels, np.asarray(image.convert("RGB")))


def test_transparent_colours_keep_their_pixels() -> None:
    image = Image.fromarray(smooth()).quantize(16)
    found = read(pillow("PNG", image, transparency=3))
    assert np.array_equal(found.pixels, np.asarray(image.convert("RGB")))
    one = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(read(pillow("PNG", one, transparency=7)).pixels, gray(one))


def test_an_interlaced_picture_reads() -> None:
    """Adam7, passes of an 8 by 8 picture written by hand: pixel (x, y) is 8 * y + x."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    expected = np.arange(64, dtype=np.uint8).reshape(8, 8)
    body = b"".join(rows(expected[y::dy, x::dx]) for x, y, dx, dy in passes)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
    file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    assert np.array_equal(read(file).pixels, gray(expected))


def test_a_million_empty_chunks_end() -> None:
    file = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + chunk(b"prIv", b"") * 10**6
    )
    with pytest.raises(ItemFailed, match="more than 200000 chunks"):
        read(file)


def test_the_size_is_checked_first() -> None:
    with pytest.raises(ItemFailed) as raised:
        decode(png(60_000, 60_000, b""), CAP)
    assert raised.value.reason is ItemReason.IMAGE_TOO_LARGE


def test_an_animation_shows_its_first_picture() -> None:
    frames = [Image.fromarray(smooth()) for _ in range(3)]
    for i, frame in enumerate(frames):
        ImageDraw.Draw(frame).rectangle((i, i, 20, 20), fill=(i, 0, 0))
    out = io.BytesIO()
    frames[0].save(out, format="PNG", save_all=True, append_images=frames[1:])
    found = read(out.getvalue())
    assert found.frames == 3 and np.array_equal(found.pixels, np.asarray(frames[0]))
