"""Bytes → upright RGB: what is accepted, how it reads, and what each bad one is called."""

import io

import numpy as np
import pytest
from PIL import Image

from db.states import ItemReason
from tests.jobs import picture
from tests.workers.images.encoding import png
from workers.failures import FAILURES, RETRYABLE, ItemFailed, failure_of
from workers.images import decode

CAP = 1_000_000


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("L", (30, 20), 200).convert("RGB")
    image = Image.new("I;16", (30, 20), 200 << 8) if mode == "I;16" else image.convert(mode)
    pixels = decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), CAP).pixels
    assert pixels.shape == (20, 30, 3) and pixels.dtype == np.uint8
    expected = 255 if mode == "1" else 200
    assert abs(int(pixels.mean()) - expected) <= 1 or mode == "1"


def test_sixteen_bit_gray_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = decode(encoded(Image.fromarray(ramp)), CAP).pixels
    assert pixels[0, 0, 0] == 0 and pixels[-1, -1, 0] == 255 and len(np.unique(pixels)) == 256


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_comes_out_upright(orientation: int) -> None:
    upright = Image.new("RGB", (40, 20))
    upright.paste((255, 255, 255), (0, 0, 20, 10))
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(stored, "PNG", exif=exif), CAP)
    assert found.orientation == orientation
    assert np.array_equal(found.pixels, np.asarray(upright))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ItemReason.UNSUPPORTED_FORMAT),
        (b"plain text", ItemReason.UNSUPPORTED_FORMAT),
        (b"%PDF-1.7 and more", ItemReason.UNSUPPORTED_FORMAT),
        (picture(64, 64)[:800], ItemReason.DECODE_FAILED),
        (picture(64, 64, kind="PNG")[:3000], ItemReason.DECODE_FAILED),
        (encoded(Image.new("F", (4, 4)), "TIFF"), ItemReason.UNSUPPORTED_FORMAT),
        (png(60_000, 60_000, b"", depth=1, colour=0), ItemReason.IMAGE_TOO_LARGE),
    ],
    ids=["empty", "text", "pdf", "half a JPEG", "half a PNG", "float", "large"],
)
def test_each_bad_file_has_its_reason(data: bytes, reason: ItemReason, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ItemFailed) as raised:
        decode(data, CAP)
    assert raised.value.reason is reason and raised.value.detail


def test_every_error_has_a_row() -> None:
    assert FAILURES[-1][0] is BaseException
    assert all(ItemReason(reason) for _, reason in FAILURES)
    internal = failure_of(RuntimeError("x\x00y"))
    assert (internal.reason, internal.retryable) == (ItemReason.INTERNAL, True) and "\x00" not in internal.detail
    assert not failure_of(ItemFailed(ItemReason.DECODE_FAILED, "")).retryable
    assert ItemReason.OBJECT_NOT_FOUND not in RETRYABLE
