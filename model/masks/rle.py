"""COCO run-length encoding: masks ↔ runs ↔ compressed counts; area and box from runs.

Masks are read column by column. Runs alternate background, foreground, …; the first (background) run may be 0.
From the fourth run on, `counts` holds the difference to the run two before. A character carries five bits, least
significant first, with bit 6 for "more follows" and an offset of 48. The bytes are those that pycocotools writes.

numpy only: the API uses this file too.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

Runs = NDArray[np.int64]
Mask2D = NDArray[np.bool_]


class RLE(TypedDict):
    """A mask of `size` [height, width] as compressed COCO `counts` (ASCII, a str)."""

    size: list[int]
    counts: str


class RLEError(ValueError):
    """The counts are no valid run lengths, or do not add up to the size."""


def encode(mask: Mask2D) -> RLE:
    """bool (H, W) → RLE."""
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": compress([runs(mask)])[0]}


def decode(rle: RLE) -> Mask2D:
    """RLE → bool (H, W). Raises RLEError where the runs do not add up to H·W."""
    height, width = rle["size"]
    return mask_of(checked_runs(rle), height, width)


def mask_of(lengths: Runs, height: int, width: int) -> Mask2D:
    """Run lengths → bool (H, W)."""
    values = np.zeros(len(lengths), dtype=np.bool_)
    values[1::2] = True
    return np.repeat(values, lengths).reshape(width, height).T


def checked_runs(rle: RLE) -> Runs:
    """The run lengths of `rle`. Raises RLEError unless they are ≥ 0 and add up to H·W."""
    height, width = rle["size"]
    lengths = decompress(rle["counts"])
    if (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise RLEError(f"run lengths do not add up to {height}x{width}")
    return lengths


def runs(mask: Mask2D) -> Runs:
    """bool (H, W) → alternating run lengths, column-major, background first.

    Finds changes along rows of memory, which is cheap in C order, and sorts them. Nothing is transposed.
    """
    height, width = mask.shape
    if mask.size == 0:
        return np.zeros(1, dtype=np.int64)
    flat = np.ascontiguousarray(mask).view(np.uint8).reshape(-1)
    y, x = np.divmod(_nonzero_bytes(flat[width:] ^ flat[:-width]), width)
    seams = np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1  # column x starts unlike column x−1 ended
    changes = np.concatenate([x * height + y + 1, seams * height])
    changes.sort()
    return from_changes(changes, bool(mask[0, 0]), height * width)


def from_changes(changes: NDArray[np.int64], starts_inside: bool, total: int) -> Runs:
    """Sorted positions where the value flips → run lengths over `total` pixels."""
    head = [0, 0] if starts_inside else [0]
    return np.diff(np.concatenate([np.asarray(head, dtype=np.int64), changes, np.asarray([total])]))


def _nonzero_bytes(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """flatnonzero for bytes that are mostly zero: looks at eight at a time first."""
    whole = len(values) // 8 * 8
    words = np.flatnonzero(values[:whole].view(np.uint64))
    word, byte = np.nonzero(values[:whole].reshape(-1, 8)[words])
    return np.concatenate([words[word] * 8 + byte, np.flatnonzero(values[whole:]) + whole])


def area(rle: RLE) -> int:
    """Foreground pixels."""
    return runs_area(decompress(rle["counts"]))


def runs_area(lengths: Runs) -> int:
    """Foreground pixels of run lengths."""
    return int(lengths[1::2].sum())


def bbox(rle: RLE) -> list[int]:
    """[x, y, w, h] in pixels, inclusive extent (pycocotools' `toBbox`); zeros for an empty mask."""
    return runs_bbox(decompress(rle["counts"]), rle["size"][0])


def runs_bbox(lengths: Runs, height: int) -> list[int]:
    """[x, y, w, h] of run lengths over columns of `height` pixels."""
    ends = np.cumsum(lengths)
    last = ends[1::2] - 1
    first = last - lengths[1::2] + 1
    first, last = first[first <= last], last[first <= last]
    if len(first) == 0:
        return [0, 0, 0, 0]
    x0, x1 = int(first[0] // height), int(last[-1] // height)
    if (first // height != last // height).any():  # a run across a seam touches bottom and top
        y0, y1 = 0, height - 1
    else:
        y0, y1 = int((first % height).min()), int((last % height).max())
    return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]


def compress(masks: Sequence[Runs]) -> list[str]:
    """Run lengths of many masks → their compressed counts, in one pass over all of them."""
    if not masks:
        return []
    sizes = np.fromiter((len(m) for m in masks), dtype=np.int64, count=len(masks))
    starts = np.cumsum(sizes) - sizes
    lengths = np.concatenate(masks).astype(np.int64, copy=False)
    rank = np.arange(len(lengths)) - np.repeat(starts, sizes)
    deltas = lengths.copy()
    later = np.flatnonzero(rank > 2)
    deltas[later] -= lengths[later - 2]
    text, ends = _write(deltas)
    bounds = np.concatenate([[0], ends])[np.concatenate([starts, [len(lengths)]])]
    return [text[a:b] for a, b in pairwise(bounds)]


def _write(values: NDArray[np.int64]) -> tuple[str, NDArray[np.int64]]:
    """Signed values → characters, and the end of each value's characters."""
    magnitude = np.where(values < 0, ~values, values)
    width = np.ones(len(values), dtype=np.int64)
    for groups in range(1, 13):
        longer = magnitude >= (1 << (5 * groups - 1))
        if not longer.any():
            break
        width += longer
    ends = np.cumsum(width)
    which = np.repeat(np.arange(len(values)), width)
    place = np.arange(len(which)) - (ends - width)[which]
    bits = (values[which] >> (5 * place)) & 31
    more = place + 1 < width[which]
    return (bits + 48 + 32 * more).astype(np.uint8).tobytes().decode("ascii"), ends


def decompress(counts: str | bytes) -> Runs:
    """Compressed counts → run lengths. Raises RLEError for characters that no encoder writes."""
    values = deltas(counts)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def deltas(counts: str | bytes) -> Runs:
    """Compressed counts → the values that they hold: three run lengths, then differences. Raises RLEError."""
    raw = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    codes = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0:
        return np.zeros(0, dtype=np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise RLEError("counts hold characters outside the COCO alphabet, or end in the middle of a run")
    last = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], last[:-1] + 1])
    width = last - starts + 1
    if width.max() > 12:
        raise RLEError("a run length in counts is too long")
    place = np.arange(len(codes)) - np.repeat(starts, width)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= ((codes[last] >> 4) & 1) << (5 * width)  # sign bit of the last group
    return values


def intervals(lengths: Runs) -> tuple[Runs, Runs]:
    """Run lengths → first position and end (exclusive) of every foreground run that is not empty."""
    ends = np.cumsum(lengths)[1::2]
    starts = ends - lengths[1::2]
    return starts[ends > starts], ends[ends > starts]


def by_column(starts: Runs, ends: Runs, height: int) -> tuple[Runs, Runs, Runs]:
    """Foreground runs, cut where columns of `height` pixels end: starts, ends and columns."""
    first = starts // height
    spans = (ends - 1) // height - first + 1
    which = np.repeat(np.arange(len(starts)), spans)
    column = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(spans) - spans, spans)
    return np.maximum(starts[which], column * height), np.minimum(ends[which], (column + 1) * height), column


def from_intervals(starts: Runs, ends: Runs, total: int) -> Runs:
    """Foreground runs in order → run lengths over `total` pixels. Runs may touch."""
    apart = np.ones(len(starts) + 1, dtype=np.bool_)
    apart[1:-1] = starts[1:] != ends[:-1]
    flips = np.stack([starts[apart[:-1]], ends[apart[1:]]], 1).reshape(-1)
    return _without_empty_tail(np.diff(np.concatenate([[0], flips, [total]])))


def inverted(lengths: Runs) -> Runs:
    """Foreground and background exchanged."""
    return lengths[1:] if lengths[0] == 0 else np.concatenate([[0], lengths])


def placed(lengths: Runs, size: tuple[int, int], corner: tuple[int, int], image: tuple[int, int]) -> Runs:
    """Runs of a crop of `size` (h, w) with its `corner` x0, y0 in an `image` (H, W) → runs of the image.

    Foreground runs are split where they pass from one column of a shorter crop into the next.
    """
    height, full = size[0], image[0]
    if size == image:
        return lengths
    starts, ends = intervals(lengths)
    shift = np.asarray(corner[0] * full)
    if height < full:
        starts, ends, column = by_column(starts, ends, height)
        shift = (column + corner[0]) * full + corner[1] - column * height
    return from_intervals(starts + shift, ends + shift, image[0] * image[1])


def _without_empty_tail(lengths: Runs) -> Runs:
    """Drop a last run of 0: encoders write none where the foreground reaches the last pixel."""
    return lengths[:-1] if len(lengths) > 1 and lengths[-1] == 0 else lengths
