"""Polygons of masks on the ground: in the image's own CRS, in longitude and latitude, and their area."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from db.georeference import Georeference
from model.masks.outlines import Polygon

if TYPE_CHECKING:  # PROJ is loaded for the first image that has a georeference
    from pyproj import Transformer

Points = NDArray[np.float64]
"""(N, 2): east, north, or longitude, latitude."""
_STEP: Final = 64
"""Edges longer than this many pixels get corners between, as a straight line in one CRS is a curve in another."""
_DECIMALS: Final = 9
"""Of degrees: a tenth of a millimetre."""
_NEAR_POLE: Final = 91.0
"""Pixels of world-wide grids may reach a little beyond the pole."""
_KEPT: Final = 64
"""Transformers in memory, of each thread."""
_of_thread = threading.local()


class Ground:
    """Where one image is."""

    def __init__(self, of: Georeference) -> None:
        self.crs = of.crs
        self._matrix = np.array(of.transform, np.float64).reshape(2, 3)

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "Ground | None":
        """Of the `georeference` of a result."""
        found = Georeference.of(stored)
        return None if found is None else cls(found)

    def native(self, polygon: Polygon) -> list[Points]:
        """In the image's CRS, corner by corner."""
        return [self._placed(ring) for ring in polygon]

    def lonlat(self, polygon: Polygon) -> list[Points]:
        """In EPSG:4326, longitude first. Outer rings run counterclockwise, holes clockwise (RFC 7946, 3.1.6).

        Longitudes go on beyond ±180° where a polygon crosses the antimeridian. Raises NoPlace.
        """
        to_lonlat = _to_lonlat(self.crs)
        rings = [_unwrapped(to_lonlat(self._placed(_with_steps(ring)))) for ring in polygon]
        middle = (rings[0][:, 0].min() + rings[0][:, 0].max()) / 2
        rings[0][:, 0] -= 360 * np.floor((middle + 180) / 360)
        for ring in rings[1:]:  # holes are where their polygon is
            ring[:, 0] += 360 * np.round((rings[0][0, 0] - ring[0, 0]) / 360)
        return [_wound(ring, outer=number == 0) for number, ring in enumerate(rings)]

    def _placed(self, ring: NDArray[Any]) -> Points:
        placed: Points = ring @ self._matrix[:, :2].T + self._matrix[:, 2]
        return placed


class NoPlace(ValueError):
    """Longitude and latitude cannot be told: the CRS is unknown here, or has no such place."""


def square_metres(polygons: Sequence[Sequence[Points]]) -> float:
    """The geodesic area of polygons in longitude and latitude, on the ellipsoid of WGS 84, whatever the CRS is."""
    from pyproj import Geod

    geod = Geod(ellps="WGS84")
    areas = [[abs(geod.polygon_area_perimeter(ring[:, 0], ring[:, 1])[0]) for ring in rings] for rings in polygons]
    return float(sum(rings[0] - sum(rings[1:]) for rings in areas))


def wkt_of(crs: str) -> str | None:
    """The whole text of a CRS. None: it is not known here."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS(crs).to_wkt()
    except CRSError:
        return None


def _to_lonlat(crs: str) -> Callable[[Points], Points]:
    kept: dict[str, Transformer] = _of_thread.__dict__.setdefault("transformers", {})
    if crs not in kept:
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[crs] = _transformer(crs)
    transformer = kept[crs]

    def convert(points: Points) -> Points:
        east, north = transformer.transform(points[:, 0], points[:, 1])
        found = np.stack([np.asarray(east), np.asarray(north)], axis=1)
        if not np.isfinite(found).all() or np.abs(found[:, 1]).max() > _NEAR_POLE:
            raise NoPlace("a corner has no longitude and latitude")
        found[:, 1] = found[:, 1].clip(-90, 90)
        return found

    return convert


def _transformer(crs: str) -> "Transformer":
    """Without the network, and with the axes in the order east, north."""
    from pyproj import Transformer, network
    from pyproj.exceptions import ProjError

    network.set_network_enabled(active=False)  # type: ignore[attr-defined]
    try:
        return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except ProjError as error:
        raise NoPlace(f"{crs[:40]} is not known here") from error


def _with_steps(ring: NDArray[np.int64]) -> Points:
    edges = np.roll(ring, -1, axis=0) - ring
    parts = np.maximum(1, -(-np.abs(edges).max(axis=1) // _STEP))
    if int(parts.max(initial=1)) == 1:
        return ring.astype(np.float64)
    start = np.repeat(np.arange(len(ring)), parts)
    within = np.arange(len(start)) - np.repeat(np.cumsum(parts) - parts, parts)
    stepped: Points = ring[start] + edges[start] * (within / parts[start])[:, None]
    return stepped


def _unwrapped(ring: Points) -> Points:
    """Neighbours are never more than half the globe apart."""
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    return ring


def _wound(ring: Points, *, outer: bool) -> Points:
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    counterclockwise = float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) > 0
    return (ring if counterclockwise == outer else ring[::-1]).round(_DECIMALS)
