"""A JPEG without its metadata, so that damaged metadata cannot fail a picture."""

from typing import Final

_START_OF_SCAN: Final = 0xDA
_DROPPED: Final = frozenset({0xE1, 0xE2, 0xE3, 0xED, 0xFE})
"""APP1 (EXIF, XMP), APP2 (ICC, MPF), APP3, APP13 (Photoshop), comments. APP0 and APP14 tell the colour space."""


def without_metadata(data: bytes) -> tuple[bytes, bytes | None]:
    """The file as its pixels need it, and its EXIF block. Raises nothing: what is not a JPEG comes back as it is."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:2]]
    exif: bytes | None = None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _START_OF_SCAN:
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker not in _DROPPED:
            kept.append(view[at:end])
        elif marker == 0xE1 and exif is None and data[at + 4 : at + 10] == b"Exif\0\0":
            exif = data[at + 10 : end]
        at = end
    return b"".join([*kept, view[at:]]), exif
