"""Where on the ground the pixels of an image are, as its result keeps it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Transform = tuple[float, float, float, float, float, float]


class Georeference(NamedTuple):
    """`crs`: as `EPSG:32633`, or WKT 2 where EPSG does not have it.

    `transform`: a, b, c, d, e, f. A point x, y of the upright image, in pixels, is at a·x + b·y + c, d·x + e·y + f, in
    the order east, north whatever the CRS says of its axes. The upper left corner of the first pixel is 0, 0.
    """

    crs: str
    transform: Transform

    def as_json(self) -> dict[str, Any]:
        return {"crs": self.crs, "transform": list(self.transform)}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "Georeference | None":
        if stored is None:
            return None
        a, b, c, d, e, f = stored["transform"]
        return cls(stored["crs"], (a, b, c, d, e, f))
