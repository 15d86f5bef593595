"""Damaged EXIF never fails a picture: only the orientation is read."""

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.workers.images.encoding import case, pillow, read, smooth
from workers.images.ifd import orientation

TAGS = [256, 257, 258, 259, 262, 271, 272, 273, 282, 283, 296, 305, 306, 513, 33432, 34665, 34853, 36864, 37500, 40965]
KINDS = [*range(14), 16, 129, 255]
COUNTS = [0, 1, 4, 2**31]
FIELDS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x22\0\0\0"]
STORED = smooth(32, 64)


def block(tag: int, kind: int, count: int, field: bytes) -> bytes:
    """An EXIF block of two tags: a bad one, and orientation 6. Always of one length."""
    entries = sorted([(tag, kind, count, field), (0x0112, 3, 1, struct.pack("<HH", 6, 0))])
    body = b"".join(struct.pack("<HHI", t, k, c) + f for t, k, c, f in entries)
    return b"II*\0" + struct.pack("<IH", 8, 2) + body + struct.pack("<I", 0) + b"\1" * 32


GOOD = block(271, 2, 4, b"abc\0")


def variants() -> Iterator[bytes]:
    for tag in TAGS:
        for kind in KINDS:
            for count in COUNTS:
                for field in FIELDS:
                    yield block(tag, kind, count, field)


def _replaced(kind: str) -> Callable[[bytes], bytes]:
    file = pillow(kind, STORED, exif=b"Exif\0\0" + GOOD, **({"lossless": True} if kind == "WEBP" else {}))
    assert file.count(GOOD) == 1
    return lambda exif: file.replace(GOOD, exif)


def _replaced_in_png(exif: bytes) -> bytes:
    file = pillow("PNG", STORED, exif=b"Exif\0\0" + GOOD)
    at = file.index(b"eXIf") + 4
    return file[:at] + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif)) + file[at + len(exif) + 4 :]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_every_bad_tag_leaves_the_picture_upright(kind: str) -> None:
    replaced = _replaced_in_png if kind == "PNG" else _replaced(kind)
    expected = read(replaced(GOOD)).pixels
    assert expected.shape == (64, 32, 3)
    n = 0
    for exif in variants():
        found = read(replaced(exif))
        assert found.orientation == 6 and np.array_equal(found.pixels, expected), exif
        n += 1
    assert n == len(TAGS) * len(KINDS) * len(COUNTS) * len(FIELDS)


@pytest.mark.parametrize("name", ["exif_imagewidth_ascii_orient6.jpg", "exif_make_float_orient6.jpg"])
def test_case_files(name: str) -> None:
    found = read(case(name))
    assert found.pixels.shape == (64, 32, 3) and found.orientation == 6


def test_an_avif_with_any_bytes_as_exif_is_upright() -> None:
    """An AVIF's orientation is a property of its own; Pillow fails on half of these."""
    exif = Image.Exif()
    exif[0x0112], exif[271], exif[305] = 6, "a maker", "some software of this name"
    file = pillow("AVIF", STORED, exif=exif, quality=100, speed=10)
    at = file.index(b"MM\0*")
    expected = read(file)
    assert expected.pixels.shape == (64, 32, 3) and expected.orientation == 6
    rng = np.random.default_rng(1)
    for _ in range(200):
        wild = bytearray(file)
        wild[at + 8 : at + 46] = rng.integers(0, 256, 38, dtype=np.uint8).tobytes()
        found = read(bytes(wild))
        assert found.orientation == 6 and np.array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("cut", range(0, len(GOOD)))
def test_a_block_cut_anywhere_reads(cut: int) -> None:
    assert orientation(GOOD[:cut]) in (1, 6)


@pytest.mark.parametrize(
    ("kind", "field", "expected"),
    [
        (3, struct.pack("<HH", 8, 0), 8),
        (4, struct.pack("<I", 3), 3),
        (1, b"\5\0\0\0", 5),
        (2, b"6\0\0\0", 1),
        (11, struct.pack("<f", 6.0), 1),
        (3, struct.pack("<HH", 9, 0), 1),
        (3, struct.pack("<HH", 0, 0), 1),
        (4, struct.pack("<I", 2**32 - 1), 1),
    ],
)
def test_the_orientation_itself(kind: int, field: bytes, expected: int) -> None:
    exif = b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, 1) + field + struct.pack("<I", 0)
    assert orientation(exif) == orientation(b"Exif\0\0" + exif) == expected


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"not EXIF at all", None])
def test_no_block_means_1(exif: bytes | None) -> None:
    assert orientation(exif) == 1


def test_metadata_of_a_jpeg_never_reaches_the_decoder() -> None:
    """Segments that announce more than they hold, in each kind that is dropped."""
    file = pillow("JPEG", STORED)
    expected = read(file).pixels
    for marker in (0xE1, 0xE2, 0xE3, 0xED, 0xFE):
        for body in (b"", b"\xff" * 500, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"MPF\0II*\0\x08\0\0\0\xff\xff\xff\xff"):
            segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
            assert np.array_equal(read(file[:2] + segment + file[2:]).pixels, expected)
