"""A file cut off anywhere: the same pixels as the whole file (what was cut is not needed), or an error."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from db.states import ItemReason
from tests.workers.images.encoding import noise, pillow, read, smooth, tiff
from workers.failures import ItemFailed

ERRORS = {ItemReason.DECODE_FAILED, ItemReason.UNSUPPORTED_FORMAT}
DAMAGED = ERRORS | {ItemReason.IMAGE_TOO_LARGE, ItemReason.WRONG_PAGE}
"""A byte may say that there are other pages."""
HEIC = Path(__file__).parents[2] / "data" / "heic"


def animated(kind: str) -> bytes:
    out = io.BytesIO()
    rest = [Image.fromarray(noise()), Image.fromarray(smooth()[::-1].copy())]
    Image.fromarray(smooth()).save(out, format=kind, save_all=True, append_images=rest)
    return out.getvalue()


def _of(pixels: Any) -> dict[str, bytes]:
    one = pixels[..., 0]
    sixteen = one.astype(np.uint16) * 257
    plain = b"P3\n83 61 255\n" + b"\n".join(b" ".join(b"%d" % v for v in row) for row in pixels.reshape(61, -1)) + b"\n"
    return {
        "jpeg": pillow("JPEG", pixels),
        "jpeg, progressive": pillow("JPEG", pixels, progressive=True),
        "jpeg, gray": pillow("JPEG", one),
        "jpeg, cmyk": pillow("JPEG", Image.fromarray(pixels).convert("CMYK")),
        "png": pillow("PNG", pixels),
        "png, 16 bit": pillow("PNG", sixteen),
        "png, palette": pillow("PNG", Image.fromarray(pixels).quantize(16)),
        "webp": pillow("WEBP", pixels),
        "webp, lossless": pillow("WEBP", pixels, lossless=True),
        "bmp": pillow("BMP", pixels),
        "bmp, palette": pillow("BMP", one),
        "gif": pillow("GIF", pixels),
        "gif, interlaced": pillow("GIF", pixels, interlace=1),
        "avif": pillow("AVIF", pixels, speed=10),
        "jp2": pillow("JPEG2000", pixels),
        "jp2, tiles": pillow("JPEG2000", pixels, tile_size=(32, 32)),
        "jp2, layers": pillow("JPEG2000", pixels, irreversible=True, quality_layers=[40, 20, 5]),
        "j2k": imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
        "ppm": pillow("PPM", pixels),
        "ppm, plain": plain,
        "pgm, 16 bit": b"P5 83 61 65535\n" + sixteen.astype(">u2").tobytes(),
        "pbm": pillow("PPM", Image.fromarray(pixels).convert("1")),
        "tiff": tiff(pixels, photometric="rgb"),
        "tiff, planes": tiff(np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate"),
        "tiff, tiles": tiff(pixels, photometric="rgb", tile=(32, 16), compression="zlib"),
        "tiff, tags at the end": pillow("TIFF", pixels, compression="tiff_lzw"),
        "tiff, jpeg": pillow("TIFF", pixels, compression="jpeg"),
        "tiff, fax": pillow("TIFF", Image.fromarray(pixels).convert("1"), compression="group4"),
        "tiff, big": tiff(pixels, photometric="rgb", bigtiff=True, rowsperstrip=5, compression="lzw"),
    }


FILES = {f"{name}, smooth": file for name, file in _of(smooth()).items()}
FILES |= {f"{name}, noise": file for name, file in _of(noise()).items()}
FILES |= {f"{kind}, animated": animated(kind) for kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF")}
FILES |= {path.name: path.read_bytes() for path in sorted(HEIC.glob("*.heic"))}


def offsets(size: int) -> list[int]:
    """A hundred places over the whole file, and each of the first and last bytes, where the structure is."""
    return sorted({*range(0, size, max(1, size // 100)), *range(min(32, size)), *range(max(0, size - 48), size)})


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_never_other_pixels(name: str) -> None:
    file = FILES[name]
    page = 1 if name == "TIFF, animated" else None
    whole = read(file, page=page).pixels
    failed = 0
    for end in offsets(len(file)):
        try:
            found = read(file[:end], page=page).pixels
        except ItemFailed as error:
            assert error.reason in ERRORS, (end, error)
            failed += 1
        else:
            assert np.array_equal(found, whole), f"cut at {end} of {len(file)}"
    assert failed >= 5


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_read_or_fails_by_name(name: str) -> None:
    """Any exception that is not ItemFailed would be INTERNAL, and tried again for nothing."""
    file = FILES[name]
    rng = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(file)
        for at in rng.integers(0, min(len(file), 400), 4):
            damaged[at] = rng.integers(0, 256)
        try:
            read(bytes(damaged))
        except ItemFailed as error:
            assert error.reason in DAMAGED
