"""Samples of any number type → 8 bits.

| rule | black | white |
|---|---|---|
| `auto` | 0 | the brightest value that the file declares, else the largest of the fewest bits that hold every sample |
| `auto` of a file with a georeference | as by `percentiles` | as by `percentiles` |
| `percentiles` | the .1th percentile of the picture | the 99.9th |
| `full_range` | 0 | the largest value of the number type |

Samples without data are left out of percentiles. Samples of 8 bits are never changed. Where white is the largest value
of n bits, the upper 8 of the n are taken.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db.georeference import Georeference
from db.states import Depth, ItemReason, WarningCode
from workers.failures import ItemFailed
from workers.images.raster import Raster, Said

Range = tuple[float, float]
_PERCENTILES: Final = (0.1, 99.9)
_LOOKED_AT: Final = 1_000_000
"""Percentiles are of at most about this many samples, evenly spaced."""
_BLOCK: Final = 1 << 20


def to_bytes(raster: Raster, depth: Depth) -> tuple[NDArray[np.uint8], tuple[Said, ...]]:
    """The samples as uint8, and the warning DEPTH_SCALED with the range where they were more."""
    samples: NDArray[Any] = raster.samples
    if samples.dtype == np.uint8:
        return scaled(samples, None, raster.inverted), ()
    found = range_of(samples, raster.largest, rule(depth, raster.georeference), raster.nodata)
    return scaled(samples, found, raster.inverted), (range_warning(samples.dtype, found),)


def rule(depth: Depth, georeference: Georeference | None) -> Depth:
    """Imagery seldom uses the bits of its samples: a few clouds are bright, and the ground is dark."""
    return Depth.PERCENTILES if depth is Depth.AUTO and georeference is not None else depth


def scaled(samples: NDArray[Any], found: Range | None, inverted: bool) -> NDArray[np.uint8]:
    """Samples as uint8. `found` is what black and white are; None for samples of 8 bits."""
    if found is not None:
        low, high = found
        samples = _shifted(samples, int(high)) if low == 0 and _is_all_ones(high) else _stretched(samples, low, high)
    return 255 - samples if inverted else samples


def range_of(samples: NDArray[Any], largest: int | None, depth: Depth, nodata: float | None = None) -> Range:
    """Black and white. `largest` and `nodata`: what the file declares. Raises ItemFailed where `depth` gives none."""
    if depth is Depth.PERCENTILES:
        return _percentiles(samples, nodata)
    if samples.dtype.kind == "f":
        raise _unknown_range(f"{samples.dtype.itemsize * 8}-bit float")
    if depth is Depth.FULL_RANGE:
        return 0, int(np.iinfo(samples.dtype).max)
    if samples.min() < 0:
        raise _unknown_range("negative")
    found = int(samples.max())
    # A declared maximum that the samples exceed is not believed.
    return 0, largest if largest is not None and found <= largest else (1 << max(8, found.bit_length())) - 1


def _unknown_range(kind: str) -> ItemFailed:
    detail = f'{kind} samples have no known range: set "depth" of the input to "percentiles", or store 8 or 16 bit'
    return ItemFailed(ItemReason.UNSUPPORTED_FORMAT, detail)


def _percentiles(samples: NDArray[Any], nodata: float | None) -> tuple[float, float]:
    step = max(1, int(np.sqrt(samples.size / _LOOKED_AT)))
    looked_at = samples[(slice(None, None, step),) * min(2, samples.ndim)].astype(np.float64)
    looked_at = looked_at[np.isfinite(looked_at)]
    if nodata is not None and (found := looked_at[looked_at != nodata]).size:
        looked_at = found
    if not looked_at.size:
        raise ItemFailed(ItemReason.DECODE_FAILED, "no sample is a finite number")
    low, high = (float(value) for value in np.percentile(looked_at, _PERCENTILES))
    return low, high if high > low else low + 1


def _is_all_ones(high: float) -> bool:
    return high >= 255 and float(high).is_integer() and int(high) & (int(high) + 1) == 0


def _shifted(samples: NDArray[Any], high: int) -> NDArray[np.uint8]:
    shift = high.bit_length() - 8
    return _by_rows(samples, lambda block: (block >> shift).clip(0, 255))


def _stretched(samples: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    def stretch(block: NDArray[Any]) -> NDArray[Any]:
        finite = np.nan_to_num(block.astype(np.float64), nan=low, posinf=high, neginf=low)
        return ((finite - low) * (255 / (high - low)) + 0.5).clip(0, 255)

    return _by_rows(samples, stretch)


def _by_rows(samples: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.uint8]:
    """Some rows at a time, so that the wide numbers of a large picture never stand in memory twice."""
    out = np.empty(samples.shape, np.uint8)
    rows = max(1, _BLOCK // max(1, samples[0].size))
    for start in range(0, len(samples), rows):
        out[start : start + rows] = convert(samples[start : start + rows])
    return out


def range_warning(kind: np.dtype[Any], found: Range) -> Said:
    low, high = found
    name = f"{kind.itemsize * 8}-bit{' float' if kind.kind == 'f' else ''}"
    return WarningCode.DEPTH_SCALED, f"{name} samples {low:.10g}–{high:.10g} were scaled to 0–255"
