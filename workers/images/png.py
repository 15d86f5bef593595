"""PNG, by libpng. Only the chunks that pixels need reach it, so damaged or huge metadata cannot fail a picture."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import imagecodecs
from numpy.typing import NDArray

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images.ifd import orientation
from workers.images.raster import MAX_FRAMES, Raster, check_size

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 200_000
_HEADER: Final = struct.Struct(">I4s")
_CRC_BYTES: Final = 4


@dataclass
class _Parts:
    """`pixels`: the file without its ancillary chunks, piece by piece."""

    pixels: list[memoryview | bytes] = field(default_factory=lambda: [SIGNATURE])
    header: bytes = b""
    exif: bytes | None = None
    significant_bits: int = 0
    animated: bool = False
    frames: int = 0
    still_first: bool = False


def read(data: bytes, max_pixels: int) -> Raster:
    """Gray or RGB; alpha is dropped. Missing rows and damaged pixel data are errors of libpng."""
    parts = _split(data)
    if len(parts.header) < 13:
        raise ItemFailed(ItemReason.DECODE_FAILED, "the PNG does not begin with an IHDR chunk")
    width, height, depth = struct.unpack_from(">IIB", parts.header)
    check_size(width, height, max_pixels)
    largest = (1 << parts.significant_bits) - 1 if depth == 16 and 8 < parts.significant_bits < 16 else None
    return Raster(
        samples=_colours(imagecodecs.png_decode(b"".join(parts.pixels))),
        largest=largest,
        orientation=orientation(parts.exif),
        frames=min(MAX_FRAMES, parts.frames + parts.still_first) if parts.animated else 1,
    )


def _colours(samples: NDArray[Any]) -> NDArray[Any]:
    """(H, W[, 1 to 4]) → (H, W) or (H, W, 3)."""
    if samples.ndim == 2:
        return samples
    return samples[..., 0] if samples.shape[2] < 3 else samples[..., :3]


def _split(data: bytes) -> _Parts:
    parts = _Parts()
    view = memoryview(data)
    for name, start, end in _chunks(data):
        body = view[start:end]
        if name[:1].isupper():  # a critical chunk: IHDR, PLTE, IDAT, IEND
            parts.pixels.append(view[start - _HEADER.size : end + _CRC_BYTES])
            if name == b"IHDR" and len(parts.pixels) == 2:
                parts.header = bytes(body)
            elif name == b"IDAT" and not parts.frames:
                parts.still_first = True  # the picture is not a frame of the animation
        elif name == b"eXIf" and parts.exif is None:
            parts.exif = bytes(body)
        elif name == b"sBIT":
            parts.significant_bits = max(body[:3], default=0)
        elif name == b"acTL":
            parts.animated = True
        elif name == b"fcTL":
            parts.frames += 1
    return parts


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's body. One that is cut off comes too, for libpng to report."""
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + _HEADER.size > len(data):
            return
        length, name = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        yield name, start, start + length
        at = start + length + _CRC_BYTES
        if name == b"IEND":
            return
    raise ItemFailed(ItemReason.DECODE_FAILED, f"the PNG has more than {_MAX_CHUNKS} chunks")
