"""Pictures in a file are counted, within bounds, and the first is taken."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from db.states import WarningCode
from tests.workers.images.encoding import pillow, png, read, smooth, tiff
from workers.failures import ItemFailed
from workers.images.gif import count_frames
from workers.images.ifd import Directories
from workers.images.raster import MAX_FRAMES


def animated(kind: str, frames: int, **options: object) -> bytes:
    pictures = [Image.fromarray(np.roll(smooth(), i * 5, axis=1)) for i in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, format=kind, save_all=True, append_images=pictures[1:], **options)
    return out.getvalue()


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_frames_are_counted(kind: str, frames: int) -> None:
    options: dict[str, int] = {"WEBP": {"lossless": 1}, "AVIF": {"speed": 10}}.get(kind, {})
    found = read(animated(kind, frames, **options))
    assert found.frames == frames
    codes = [code for code, _ in found.warnings]
    assert codes == ([WarningCode.FRAMES_IGNORED] if frames > 1 else [])
    if kind not in ("GIF", "AVIF"):
        assert np.array_equal(found.pixels, smooth())


def test_a_still_before_an_animation_is_counted() -> None:
    """An APNG whose IDAT is no frame of the animation."""
    out = io.BytesIO()
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth()[::-1].copy())
    first.save(out, format="PNG", save_all=True, default_image=True, append_images=[second, first])
    assert read(out.getvalue()).frames == 3


def test_a_header_that_lies_about_frames_is_not_believed() -> None:
    lie = struct.pack(">I4s", 8, b"acTL") + struct.pack(">II", 2**31 - 1, 0) + bytes(4)
    rows = b"".join(b"\0" + row.tobytes() for row in smooth())
    assert read(png(83, 61, rows, extra=lie)).frames == 1


def test_a_gif_of_a_million_frames_is_counted_up_to_the_limit() -> None:
    one = pillow("GIF", smooth())
    start = one.index(b",", 13 + 3 * 256)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    file = one[:-1] + frame * 10**6 + b";"
    assert start > 0 and count_frames(file) == MAX_FRAMES
    found = read(file)
    assert found.frames == MAX_FRAMES and "at least 10000" in found.warnings[0][1]


def test_a_loop_of_directories_ends() -> None:
    file = bytearray(tiff(smooth(), photometric="rgb"))
    (at,) = struct.unpack_from("<I", file, 4)
    (n,) = struct.unpack_from("<H", file, at)
    struct.pack_into("<I", file, at + 2 + 12 * n, at)
    found = read(bytes(file))
    assert found.frames == 1 and np.array_equal(found.pixels, smooth())


def test_a_chain_of_a_million_directories_is_counted_up_to_the_limit() -> None:
    first = tiff(smooth(), photometric="rgb")
    (at,) = struct.unpack_from("<I", first, 4)
    (n,) = struct.unpack_from("<H", first, at)
    head = bytearray(first)
    struct.pack_into("<I", head, at + 2 + 12 * n, len(first))
    chain = b"".join(struct.pack("<HI", 0, len(first) + 6 * (i + 1)) for i in range(10**6))
    file = bytes(head) + chain
    assert len(list(Directories(file).offsets())) == MAX_FRAMES
    with pytest.raises(ItemFailed, match="has 10000 pages"):
        read(file)


@pytest.mark.parametrize("cut", [0, 5, 12, 13, 14, 100, 800, 2000])
def test_counting_ends_at_the_end_of_the_data(cut: int) -> None:
    assert count_frames(pillow("GIF", smooth())[:cut]) == 1
