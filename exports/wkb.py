"""Polygons as well-known binary (OGC 06-103r4), the form of geometries in a GeoPackage."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POLYGON, _MULTI_POLYGON = 3, 6


def multi_polygon(polygons: Sequence[Sequence[NDArray[Any]]]) -> bytes:
    """Each polygon is its outer ring and its holes, (N, 2) corners without the first one again."""
    return _head(_MULTI_POLYGON, len(polygons)) + b"".join(_polygon(rings) for rings in polygons)


def _polygon(rings: Sequence[NDArray[Any]]) -> bytes:
    return _head(_POLYGON, len(rings)) + b"".join(_ring(ring) for ring in rings)


def _ring(ring: NDArray[Any]) -> bytes:
    closed = np.concatenate([ring, ring[:1]]).astype("<f8")
    return struct.pack("<I", len(closed)) + closed.tobytes()


def _head(kind: int, parts: int) -> bytes:
    return struct.pack("<BII", 1, kind, parts)
