"""Netpbm: PBM, PGM and PPM in their plain and raw forms, and PAM."""

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images.raster import Raster, check_size

_GAP: Final = rb"(?:\s|#[^\n]*\n)+"
_HEADER: Final = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_MAXVAL: Final = re.compile(_GAP + rb"(\d{1,5})(?:#[^\n]*\n)?\s")
_BODY: Final = re.compile(rb"(?:#[^\n]*\n)?\s")
_PAM_FIELD: Final = re.compile(rb"(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\d{1,9})\s*")
_MAX_HEADER: Final = 4096


def read(data: bytes, max_pixels: int) -> Raster:
    """Exact samples; those of at most 8 bits are scaled to 255 by the file's own maximum."""
    if data.startswith(b"P7"):
        return _pam(data, max_pixels)
    found = _HEADER.match(data, 0, _MAX_HEADER)
    if found is None:
        raise _broken("the header cannot be read")
    kind, width, height = (int(part) for part in found.groups())
    check_size(width, height, max_pixels)
    if kind in (1, 4):
        start = _BODY.match(data, found.end())
        return Raster(_bitmap(data[start.end() if start else len(data) :], width, height, plain=kind == 1))
    limit = _MAXVAL.match(data, found.end(), _MAX_HEADER)
    if limit is None:
        raise _broken("the header names no largest value")
    bands = 3 if kind in (3, 6) else 1
    return _samples(data[limit.end() :], (height, width, bands), int(limit[1]), plain=kind < 4)


def _pam(data: bytes, max_pixels: int) -> Raster:
    head, end, body = data.partition(b"ENDHDR\n")
    if not end or len(head) > _MAX_HEADER:
        raise _broken("the header has no end")
    found = (_PAM_FIELD.fullmatch(line) for line in head.split(b"\n"))
    fields = {match[1]: int(match[2]) for match in found if match}
    if len(fields) != 4:
        raise _broken("the header lacks one of WIDTH, HEIGHT, DEPTH and MAXVAL")
    check_size(fields[b"WIDTH"], fields[b"HEIGHT"], max_pixels)
    bands = fields[b"DEPTH"]
    if not 1 <= bands <= 4:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"a PAM of {bands} bands; 1 to 4 are read")
    return _samples(body, (fields[b"HEIGHT"], fields[b"WIDTH"], bands), fields[b"MAXVAL"], plain=False)


def _bitmap(body: bytes, width: int, height: int, *, plain: bool) -> NDArray[np.uint8]:
    """1 is black."""
    if plain:
        digits = np.frombuffer(re.sub(rb"#[^\n]*\n|\s", b"", body), np.uint8)[: width * height]
        bits = digits != ord("0")
    else:
        row = -(-width // 8)
        packed = np.frombuffer(body[: row * height], np.uint8)
        _check_count(packed.size, row * height)
        bits = np.unpackbits(packed.reshape(height, row), axis=1, count=width).ravel().astype(np.bool_)
    _check_count(bits.size, width * height)
    return np.where(bits, np.uint8(0), np.uint8(255)).reshape(height, width)


def _samples(body: bytes, shape: tuple[int, int, int], largest: int, *, plain: bool) -> Raster:
    if not 1 <= largest <= 65535:
        raise _broken(f"the largest value is {largest}; it must be 1 to 65535")
    wanted = shape[0] * shape[1] * shape[2]
    kind = np.dtype(">u2") if largest > 255 else np.dtype(np.uint8)
    found = _numbers(body, wanted) if plain else np.frombuffer(body[: wanted * kind.itemsize], np.uint8)
    if not plain:
        _check_count(found.size, wanted * kind.itemsize)
        found = found.view(kind)
    _check_count(found.size, wanted)
    if found.max() > largest or found.min() < 0:
        raise _broken(f"a sample is outside 0 to {largest}, which the header promises")
    samples = found.astype(np.uint16 if largest > 255 else np.uint8).reshape(shape)
    if largest < 255:
        samples = ((samples.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)
    colours = samples[..., 0] if shape[2] < 3 else samples[..., :3]
    return Raster(colours, largest=largest if largest > 255 else None)


def _numbers(body: bytes, wanted: int) -> NDArray[Any]:
    """The first numbers of a plain body. It must end with white space, or its last number may be cut off."""
    if b"#" in body:
        body = re.sub(rb"#[^\n]*\n", b"", body)
    if not body[-1:].isspace():
        raise _broken("it ends in the middle of its last number")
    return np.fromstring(body, np.int64, sep=" ")[:wanted]


def _check_count(found: int, wanted: int) -> None:
    if found < wanted:
        raise _broken(f"{found} of {wanted} values are there: it is cut off")


def _broken(detail: str) -> ItemFailed:
    return ItemFailed(ItemReason.DECODE_FAILED, f"PNM: {detail}")
