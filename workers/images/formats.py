"""The table of formats: how each is recognised, who reads it, what is lost. `docs/formats.md` shows the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from db.bands import Bands
from workers.images import jpeg2000, png, pnm, tiff, with_pillow
from workers.images.raster import Raster

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())


@dataclass(frozen=True)
class Format:
    """`recognises` looks at the first bytes only; `read` decodes the first picture within `max_pixels`.

    `read_page`: of a format whose files have pages, decodes the one with a number, and of it some bands.
    """

    name: str
    extensions: tuple[str, ...]
    reader: str
    lost: str
    recognises: Callable[[bytes], bool]
    read: Callable[[bytes, int], Raster]
    limits: str = "–"
    """Beside that on the pixels of a picture."""
    read_page: Callable[[bytes, int, int | None, Bands | None], Raster] | None = None


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


def _brands(data: bytes) -> frozenset[bytes]:
    """The major and compatible brands of an ISO media file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4]), 256, len(data))
    return frozenset({data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))})


def _is_avif(data: bytes) -> bool:
    return bool(_brands(data) & _AVIF_BRANDS)


def _is_heic(data: bytes) -> bool:
    return bool(_brands(data) & _HEIC_BRANDS)


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _is_netpbm(data: bytes) -> bool:
    return data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3] in b" \t\r\n#" and len(data) > 3


FORMATS: Final = (
    Format(
        name="JPEG",
        extensions=("jpg", "jpeg", "jpe", "jfif"),
        reader="Pillow (libjpeg-turbo)",
        lost="ICC profile; CMYK becomes RGB without a profile; further pictures of an MPO, uncounted",
        recognises=_begins(b"\xff\xd8\xff"),
        read=with_pillow.read_jpeg,
    ),
    Format(
        name="PNG",
        extensions=("png", "apng"),
        reader="imagecodecs (libpng)",
        lost="alpha; ICC profile and gamma; frames after the first; 16-bit samples become 8-bit",
        recognises=_begins(png.SIGNATURE),
        read=png.read,
    ),
    Format(
        name="WEBP",
        extensions=("webp",),
        reader="Pillow (libwebp)",
        lost="alpha; ICC profile; frames after the first",
        recognises=_is_webp,
        read=with_pillow.read_webp,
    ),
    Format(
        name="BMP",
        extensions=("bmp", "dib"),
        reader="Pillow",
        lost="alpha",
        recognises=_begins(b"BM"),
        read=with_pillow.read_bmp,
    ),
    Format(
        name="TIFF",
        extensions=("tif", "tiff"),
        reader="tifffile, Pillow (libtiff)",
        lost="bands after the first three, alpha; samples of more than 8 bits become 8-bit; "
        "ICC profile; CMYK becomes RGB without a profile",
        recognises=_begins(*tiff.SIGNATURES),
        read=tiff.read,
        limits="12 bytes for each pixel allowed: the samples that are kept, and one strip or tile; 1,048,576 strips or "
        "tiles; 10,000 pages",
        read_page=tiff.read_page,
    ),
    Format(
        name="GIF",
        extensions=("gif",),
        reader="Pillow",
        lost="transparency; frames after the first",
        recognises=_begins(b"GIF87a", b"GIF89a"),
        read=with_pillow.read_gif,
        limits="frames are counted up to 10,000",
    ),
    Format(
        name="AVIF",
        extensions=("avif",),
        reader="Pillow (libavif)",
        lost="alpha; 10- and 12-bit samples become 8-bit; ICC profile; frames after the first",
        recognises=_is_avif,
        read=with_pillow.read_avif,
    ),
    Format(
        name="HEIC",
        extensions=("heic", "heif", "hif"),
        reader="pi-heif (libheif), with the extra `heic`",
        lost="alpha; 10- and 12-bit samples become 8-bit; ICC profile; pictures after the first",
        recognises=_is_heic,
        read=with_pillow.read_heic,
    ),
    Format(
        name="JPEG 2000",
        extensions=("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"),
        reader="imagecodecs (OpenJPEG)",
        lost="alpha; ICC profile; samples of more than 8 bits become 8-bit",
        recognises=_begins(jpeg2000.BOX_SIGNATURE, jpeg2000.STREAM_SIGNATURE),
        read=jpeg2000.read,
        limits="4 bands",
    ),
    Format(
        name="PNM",
        extensions=("pbm", "pgm", "ppm", "pnm", "pam"),
        reader="numpy",
        lost="alpha of a PAM; pictures after the first, uncounted; samples of more than 8 bits become 8-bit",
        recognises=_is_netpbm,
        read=pnm.read,
        limits="4 bands of a PAM",
    ),
)
"""The first that recognises a file reads it, so AVIF stands before HEIC, whose brands it shares."""
