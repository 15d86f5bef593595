"""JPEG 2000, by OpenJPEG. The codestream's own lengths are checked first: OpenJPEG makes up what is cut off."""

import struct
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images.raster import Raster, check_size

BOX_SIGNATURE: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
STREAM_SIGNATURE: Final = b"\xff\x4f\xff\x51"
_SIZE: Final = struct.Struct(">HHIIIIIIIIH")
_MAX_BANDS: Final = 4
_MAX_BOXES: Final = 10_000
_START_OF_TILE, _END = 0xFF90, 0xFFD9


def read(data: bytes, max_pixels: int) -> Raster:
    """Exact samples, with the bit depth that the file declares."""
    start = _codestream(data)
    _, _, right, bottom, left, top, _, _, _, _, bands = _SIZE.unpack_from(data, start + 4)
    check_size(right - left, bottom - top, max_pixels)
    if not 1 <= bands <= _MAX_BANDS:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"a JPEG 2000 of {bands} bands; 1 to {_MAX_BANDS} are read")
    depths = {data[start + 4 + _SIZE.size + 3 * i] & 0x7F for i in range(bands)}
    _check_complete(data, start)
    largest = (2 << max(depths)) - 1
    samples = imagecodecs.jpeg2k_decode(data)
    if samples.ndim == 3:
        samples = samples[..., 0] if samples.shape[2] < 3 else samples[..., :3]
    if largest < 255:
        return Raster(_to_bytes(samples, largest))
    return Raster(samples, largest=largest if largest > 255 else None)


def _to_bytes(samples: NDArray[Any], largest: int) -> NDArray[np.uint8]:
    return ((samples.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)


def _codestream(data: bytes) -> int:
    """Where the codestream begins: at once, or in the box `jp2c`."""
    if data.startswith(STREAM_SIGNATURE):
        return 0
    at = 0
    for _ in range(_MAX_BOXES):
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if name == b"jp2c":
            if data[at + head : at + head + 4] != STREAM_SIGNATURE:
                break
            return at + head
        if length < head:
            break
        at += length
    raise ItemFailed(ItemReason.DECODE_FAILED, "the JPEG 2000 file has no codestream")


def _check_complete(data: bytes, start: int) -> None:
    """Follow the lengths of the markers and tile parts to the end marker."""
    at = start + 2
    while at + 2 <= len(data):
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == _END:
            return
        if marker != _START_OF_TILE:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + length
            continue
        (part,) = struct.unpack_from(">I", data, at + 6)
        if part == 0 and data.endswith(b"\xff\xd9"):
            return  # the last tile part goes on to the end
        if part < 12:
            break
        at += part
    raise ItemFailed(ItemReason.DECODE_FAILED, "the JPEG 2000 codestream has no end marker: it is cut off")
