"""Files for the tests of this folder, made by writers that are not the readers under test where there is a choice."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from db.states import Depth
from workers.images import Upright, decode

CASES = Path(__file__).parents[2] / "data" / "cases"
CAP = 1_000_000


def read(data: bytes, depth: Depth = Depth.AUTO, page: int | None = None) -> Upright:
    return decode(data, CAP, depth, page)


def case(name: str) -> bytes:
    return (CASES / name).read_bytes()


def plain() -> NDArray[np.uint8]:
    """The picture that most case files show."""
    return np.asarray(Image.open(CASES / "plain.png").convert("RGB"))


def smooth(height: int = 61, width: int = 83) -> NDArray[np.uint8]:
    """A gradient in three colours: no two neighbours are equal, no side is a multiple of a tile."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3 % 256, y * 4 % 256, (x + y) % 256], -1).astype(np.uint8)


def noise(height: int = 61, width: int = 83) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gray(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W) → the (H, W, 3) that decoding gives."""
    return np.repeat(pixels[..., None], 3, axis=2)


def pillow(kind: str, pixels: NDArray[Any] | Image.Image, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """A PNG chunk."""
    found = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", found)


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG whose pixel data may be anything."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")
