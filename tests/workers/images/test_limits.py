"""Small files that say they are huge: refused before the memory is spent, in every format."""

import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from db.states import ItemReason
from tests.workers.images.encoding import CAP, chunk, pillow, png, read, tiff
from workers.failures import ItemFailed
from workers.images import FORMATS, decode
from workers.images import png as png_reader
from workers.images.raster import Raster

SIDE = 12_000
BLACK = np.zeros((8, 8, 3), np.uint8)


def _patched(file: bytes, *changes: tuple[int, bytes]) -> bytes:
    out = bytearray(file)
    for at, value in changes:
        out[at : at + len(value)] = value
    return bytes(out)


def _jpeg() -> bytes:
    file = pillow("JPEG", BLACK)
    return _patched(file, (file.index(b"\xff\xc0") + 5, struct.pack(">HH", SIDE, SIDE)))


def _avif() -> bytes:
    file = pillow("AVIF", BLACK, speed=10)
    return _patched(file, (file.index(b"ispe") + 8, struct.pack(">II", SIDE, SIDE)))


def _jp2() -> bytes:
    file = pillow("JPEG2000", BLACK)
    at = file.index(b"\xff\x4f\xff\x51") + 8
    return _patched(file, (at, struct.pack(">II", SIDE, SIDE)), (at + 16, struct.pack(">II", SIDE, SIDE)))


def _tiff() -> bytes:
    """A real picture of one value, which compresses well."""
    return tiff(np.zeros((SIDE, SIDE), np.uint8), photometric="minisblack", compression="zlib", rowsperstrip=SIDE)


BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG": _jpeg,
    "PNG": lambda: png(SIDE, SIDE, b"\0" * (SIDE * 3 + 1) * 100),
    "WEBP": lambda: pillow("WEBP", np.zeros((SIDE, SIDE, 3), np.uint8), lossless=True, quality=0, method=0),
    "BMP": lambda: _patched(pillow("BMP", BLACK), (18, struct.pack("<ii", SIDE, SIDE))),
    "TIFF": _tiff,
    "GIF": lambda: _patched(pillow("GIF", BLACK), (6, struct.pack("<HH", SIDE, SIDE))),
    "AVIF": _avif,
    "JPEG 2000": _jp2,
    "PNM": lambda: b"P6 %d %d 255\n" % (SIDE, SIDE),
}


@cache
def _bomb(name: str) -> bytes:
    return BOMBS[name]()


def test_every_format_is_here() -> None:
    assert {kind.name for kind in FORMATS} - set(BOMBS) == {"HEIC"}  # libheif itself compares the sizes of its parts


@pytest.mark.parametrize("name", list(BOMBS))
def test_a_huge_picture_is_refused(name: str) -> None:
    with pytest.raises(ItemFailed) as raised:
        decode(_bomb(name), CAP)
    assert raised.value.reason is ItemReason.IMAGE_TOO_LARGE and "12000×12000" in raised.value.detail


_MEASURE = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    from PIL import Image
    from workers.failures import ItemFailed
    from workers.images import decode
    Image.MAX_IMAGE_PIXELS = None
    files = [Path(name).read_bytes() for name in sys.argv[2:]]
    decode(files[0], int(sys.argv[1]))  # everything is imported
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for file in files[1:]:
        try:
            decode(file, int(sys.argv[1]))
        except ItemFailed as failed:
            print(failed.reason)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""")


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "TIFF"])
def test_refusing_costs_no_memory(name: str, tmp_path: Path) -> None:
    """A decoded bomb would be 412 MB."""
    assert _peak(tmp_path, _bomb(name), warm=pillow("PNG", BLACK)) < 100_000


def _peak(folder: Path, file: bytes, warm: bytes) -> int:
    paths = []
    for i, data in enumerate((warm, file)):
        path = folder / str(i)
        path.write_bytes(data)
        paths.append(str(path))
    command = [sys.executable, "-c", _MEASURE, str(CAP), *paths]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert out[0] == ItemReason.IMAGE_TOO_LARGE
    return int(out[1])


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma"])
def test_a_strip_that_unpacks_to_more_than_it_should_is_cut(compression: str) -> None:
    """The header says 8 by 8 pixels, the strip holds 36 MB. Its decoder stops at the strip's size."""
    zeros = np.zeros((6000, 6000), np.uint8)
    big = tiff(zeros, photometric="minisblack", compression=compression, rowsperstrip=6000)
    (start,) = struct.unpack_from("<I", big, 4)
    (n,) = struct.unpack_from("<H", big, start)
    for at in range(start + 2, start + 2 + 12 * n, 12):
        (tag,) = struct.unpack_from("<H", big, at)
        if tag in (256, 257, 278):
            big = _patched(big, (at, struct.pack("<HHII", tag, 4, 1, 8)))
    found = decode(big, CAP)
    assert found.pixels.shape == (8, 8, 3) and not found.pixels.any()


def test_a_png_whose_data_unpacks_to_more_is_read_to_its_end() -> None:
    rows = b"".join(b"\0" + bytes(24) for _ in range(8))
    body = chunk(b"IDAT", zlib.compress(rows + bytes(50_000_000)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    file = png_reader.SIGNATURE + header + body + chunk(b"IEND", b"")
    assert not read(file).pixels.any()


def test_memory_that_is_not_there_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError goes through to the table of failures, which gives it a reason of its own."""

    def read_nothing(_: bytes) -> Raster:
        raise MemoryError("Unable to allocate 412. MiB")

    monkeypatch.setattr("imagecodecs.png_decode", read_nothing)
    with pytest.raises(MemoryError):
        read(pillow("PNG", BLACK))
