"""A mask, and what other libraries make of it: numpy, pycocotools, shapely."""

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maskworks.extras import extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Window = tuple[int, int, int, int]
"""x, y, width, height, in pixels of the image."""


class RLE(Struct, frozen=True):
    """COCO's compressed run lengths of a mask of `size` [height, width]."""

    size: tuple[int, int]
    counts: str


class Mask(Struct, frozen=True):
    """One mask. Coordinates are xy pixels of the upright image; `bbox` is x, y, width, height."""

    id: int
    segmentation: RLE
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    stability_score: float
    prompt_id: str | None = None
    point_coords: list[tuple[float, float]] | None = None
    crop_box: tuple[int, int, int, int] | None = None
    phrase: str | None = None
    score: float | None = None

    def to_numpy(self, window: Window | None = None) -> "NDArray[np.bool_]":
        """bool (H, W), of the image or of a `window` of it: x, y, width, height. Needs the extra `numpy`.

        With a window, such as `mask.bbox`, nothing has the size of the image.
        """
        return _part(self.segmentation, window) if window is not None else _whole(self.segmentation)

    def to_pycocotools(self) -> dict[str, Any]:
        """The RLE object that functions of `pycocotools.mask` take. `counts` are bytes there."""
        return {"size": list(self.segmentation.size), "counts": self.segmentation.counts.encode()}

    def to_shapely(self) -> Any:
        """A shapely Polygon or MultiPolygon along the edges of the pixels. Needs the extra `shapely`."""
        shapely = extra("shapely", "Masks as polygons", "shapely")
        np = extra("numpy", "Masks as polygons", "shapely")
        lengths = _lengths(self.segmentation.counts)
        ends = np.cumsum(lengths)
        x0, y0, x1, y1 = _boxes(ends[:-1][0::2], ends[1::2], self.segmentation.size[0])
        # Columns share edges and never overlap. simplify(0) drops the corners between columns of equal height.
        return shapely.simplify(shapely.union_all(shapely.box(x0, y0, x1, y1)), 0)


class MaskTile(Struct, frozen=True):
    """The part of a mask in one tile of its image: run lengths of the tile, whose first pixel is at `offset` x, y."""

    offset: tuple[int, int]
    size: tuple[int, int]
    counts: str


class TiledMask(Struct, frozen=True):
    """A mask of the export `tiles`. All but `tiles` is as in `Mask`, and about the whole mask."""

    id: int
    tiles: list[MaskTile]
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    stability_score: float
    prompt_id: str | None = None
    point_coords: list[tuple[float, float]] | None = None
    crop_box: tuple[int, int, int, int] | None = None
    phrase: str | None = None
    score: float | None = None

    def to_numpy(self, window: Window | None = None) -> "NDArray[np.bool_]":
        """The tiles joined, bool (H, W): of a `window` x, y, width, height, or of `bbox`. Needs the extra `numpy`."""
        numpy = extra("numpy", "Masks as arrays", "numpy")
        x, y, width, height = self.bbox if window is None else window
        joined: NDArray[np.bool_] = numpy.zeros((height, width), dtype=numpy.bool_)
        for tile in self.tiles:
            left, top = tile.offset
            x0, x1 = max(x, left), min(x + width, left + tile.size[1])
            y0, y1 = max(y, top), min(y + height, top + tile.size[0])
            if x0 < x1 and y0 < y1:
                seen = _whole(RLE(tile.size, tile.counts))[y0 - top : y1 - top, x0 - left : x1 - left]
                joined[y0 - y : y1 - y, x0 - x : x1 - x] = seen
        return joined


def _whole(rle: RLE) -> "NDArray[np.bool_]":
    numpy = extra("numpy", "Masks as arrays", "numpy")
    lengths = _lengths(rle.counts)
    height, width = rle.size
    values = numpy.zeros(len(lengths), dtype=numpy.bool_)
    values[1::2] = True
    mask: NDArray[np.bool_] = numpy.repeat(values, lengths).reshape(width, height).T
    return mask


def _part(rle: RLE, window: Window) -> "NDArray[np.bool_]":
    """A window of a mask. Only its columns are looked at."""
    numpy = extra("numpy", "Masks as arrays", "numpy")
    x, y, width, height = window
    ends = numpy.cumsum(_lengths(rle.counts))
    starts, ends = ends[:-1][0::2], ends[1::2]
    lo, hi = max(x, 0) * rle.size[0], max(x + width, 0) * rle.size[0]
    met = (ends > lo) & (starts < hi)
    x0, y0, _, y1 = _boxes(numpy.maximum(starts[met], lo), numpy.minimum(ends[met], hi), rle.size[0])
    # Each column of a run adds 1 where it begins and takes it away where it ends: sums down the columns are the mask.
    edges = numpy.zeros((height + 1, width), dtype=numpy.int32)
    numpy.add.at(edges, (numpy.clip(y0 - y, 0, height), x0 - x), 1)
    numpy.add.at(edges, (numpy.clip(y1 - y, 0, height), x0 - x), -1)
    part: NDArray[np.bool_] = numpy.cumsum(edges, axis=0)[:height] > 0
    return part


def _lengths(counts: str) -> Any:
    """Run lengths, background first. See `rleFrString` of pycocotools."""
    np = extra("numpy", "Masks as arrays", "numpy")
    octets = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    is_last = (octets & 32) == 0
    starts = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1]) if len(octets) else np.zeros(0, dtype=np.int64)
    place = np.arange(len(octets)) - np.repeat(starts, np.diff(np.append(starts, len(octets))))
    values = np.add.reduceat((octets & 31) << (5 * place), starts) if len(octets) else octets
    negative = (octets[is_last] & 16) != 0
    values = np.where(negative, values - (1 << (5 * (place[is_last] + 1))), values)
    # From the fourth on, each is the difference to the one two before.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _boxes(starts: Any, ends: Any, height: int) -> Any:
    """Runs down the columns → boxes, one for each column that a run meets: x0, y0, x1, y1."""
    np = extra("numpy", "Masks as polygons", "shapely")
    first, last = starts // height, np.maximum(ends - 1, starts) // height
    n = np.where(ends > starts, last - first + 1, 0)
    run = np.repeat(np.arange(len(starts)), n)
    x = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(n) - n, n)
    y0 = np.maximum(starts[run] - x * height, 0)
    y1 = np.minimum(ends[run] - x * height, height)
    return x, y0, x + 1, y1
