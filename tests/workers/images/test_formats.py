"""The table of formats: complete, documented, and strict about what is no image."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.globs import KNOWN_EXTENSIONS
from db.states import ItemReason, WarningCode
from tests.workers.images.encoding import gray, noise, pillow, read, smooth, tiff
from workers.failures import ItemFailed
from workers.images import FORMATS

ROOT = Path(__file__).parents[3]
HEIC = ROOT / "tests" / "data" / "heic"
WHOLE = smooth()

EXACT = {
    "PNG": pillow("PNG", WHOLE),
    "WEBP": pillow("WEBP", WHOLE, lossless=True),
    "BMP": pillow("BMP", WHOLE),
    "TIFF": tiff(WHOLE, photometric="rgb"),
    "JPEG 2000": pillow("JPEG2000", WHOLE),
    "PNM": pillow("PPM", WHOLE),
}
LOSSY = {
    "JPEG": pillow("JPEG", WHOLE, quality=95),
    "AVIF": pillow("AVIF", WHOLE, quality=95, speed=10),
    "GIF": pillow("GIF", WHOLE),
}


def test_listings_know_the_same_extensions() -> None:
    assert {extension for kind in FORMATS for extension in kind.extensions} == KNOWN_EXTENSIONS


def test_every_format_has_a_file_here() -> None:
    assert {*EXACT, *LOSSY, "HEIC"} == {kind.name for kind in FORMATS}


@pytest.mark.parametrize("name", list(EXACT))
def test_lossless_formats_are_exact(name: str) -> None:
    found = read(EXACT[name])
    assert np.array_equal(found.pixels, WHOLE) and found.frames == 1 and found.warnings == ()


@pytest.mark.parametrize("name", list(LOSSY))
def test_lossy_formats_are_near(name: str) -> None:
    found = read(LOSSY[name])
    assert np.abs(found.pixels.astype(int) - WHOLE).mean() < 12 and found.warnings == ()


@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_the_right_format_recognises_a_file_first(name: str) -> None:
    file = (EXACT | LOSSY)[name]
    assert next(kind.name for kind in FORMATS if kind.recognises(file)) == name


@pytest.mark.parametrize(("file", "frames"), [("plain.heic", 1), ("exif_orient6.heic", 1), ("two.heic", 2)])
def test_heic(file: str, frames: int) -> None:
    """Four coloured quarters: red, green; blue, white. An orientation that only EXIF has is not applied."""
    found = read((HEIC / file).read_bytes())
    assert (found.orientation, found.frames) == (1, frames)
    corners = {(0, 0): (230, 40, 40), (0, -1): (40, 200, 40), (-1, 0): (40, 40, 220), (-1, -1): (230, 230, 230)}
    for (y, x), colour in corners.items():
        assert np.abs(found.pixels[y, x].astype(int) - colour).max() < 12, (y, x)
    assert [code for code, _ in found.warnings] == ([WarningCode.FRAMES_IGNORED] if frames > 1 else [])


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # what an import of a package that is not there finds
    with pytest.raises(ItemFailed, match='needs the extra "heic"') as raised:
        read((HEIC / "plain.heic").read_bytes())
    assert raised.value.reason is ItemReason.UNSUPPORTED_FORMAT


NO_IMAGES = {
    "html": b"<!doctype html><html><body><h1>403</h1></body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "text": b"P.S. this is no picture",
    "name": b"Peter",
    "pdf": b"%PDF-1.7 ...",
    "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "psd": b"8BPS\0\1" + bytes(100),
    "ico": b"\0\0\1\0\1\0" + bytes(100),
    "pfm": b"Pf\n2 2\n-1.0\n" + bytes(16),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", list(NO_IMAGES))
def test_what_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(ItemFailed, match="not an image of a known format") as raised:
        read(NO_IMAGES[name])
    assert raised.value.reason is ItemReason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_a_beginning_alone_is_an_error(kind: object) -> None:
    for name, file in (EXACT | LOSSY).items():
        for size in (4, 12, 16, 20):
            with pytest.raises(ItemFailed):
                read(file[:size] + bytes(100) if name != "PNM" else file[:size])
    assert kind is not None


def pam(depth: int, kind: str, body: bytes) -> bytes:
    return b"P7\nWIDTH 83\nHEIGHT 61\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n" % (depth, kind.encode()) + body


def test_netpbm() -> None:
    """Plain and raw forms, comments, and PAM."""
    rgb, one = noise(), noise()[..., 0]
    bits = one > 127
    plain_rgb = b" ".join(b"%d" % v for v in rgb.ravel()) + b"\n"
    plain_bits = b"\n".join(b"".join(b"%d" % v for v in row) for row in (~bits).astype(int))
    assert np.array_equal(read(b"P3\n# a comment\n83 61\n255\n" + plain_rgb).pixels, rgb)
    assert np.array_equal(read(b"P6 83 61 255\n" + rgb.tobytes()).pixels, rgb)
    assert np.array_equal(read(b"P5 # one\n83 # two\n61 255\n" + one.tobytes()).pixels, gray(one))
    assert np.array_equal(read(b"P1 83 61\n" + plain_bits).pixels, gray(np.where(bits, 255, 0).astype(np.uint8)))
    assert np.array_equal(read(pam(3, "RGB", rgb.tobytes())).pixels, rgb)
    rgba = np.dstack([rgb, one])
    assert np.array_equal(read(pam(4, "RGB_ALPHA", rgba.tobytes())).pixels, rgb)
    assert np.array_equal(read(pam(1, "GRAYSCALE", one.tobytes())).pixels, gray(one))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_jpeg_2000_modes(mode: str) -> None:
    image = Image.fromarray(noise())
    image = Image.fromarray(noise()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    expected = gray(noise()[..., 0]) if mode == "I;16" else np.asarray(image.convert("RGB"))
    assert np.array_equal(read(pillow("JPEG2000", image)).pixels, expected)


def test_a_jpeg_of_every_kind_is_what_pillow_reads() -> None:
    image = Image.fromarray(smooth())
    icc: dict[str, object] = {"icc_profile": b"x" * 200}
    for mode, options in (("L", {}), ("RGB", {"progressive": True}), ("CMYK", {}), ("RGB", icc)):
        file = pillow("JPEG", image.convert(mode), **options)
        assert np.array_equal(read(file).pixels, np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
