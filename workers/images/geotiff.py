"""The georeference of a TIFF page, by GDAL. GDAL sees the tags that say it, in a small file of our own, and no pixel.

So no path of GDAL leads from an image to another file or host, and no decoder of GDAL sees foreign bytes.
"""

import io
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import tifffile
from tifffile import TiffPage

from db.georeference import Georeference, Transform
from db.states import WarningCode
from workers.images.raster import Said
from workers.images.turning import stored_point

GEO_KEYS: Final = 34735
_SCALE, _TIEPOINTS, _MATRIX, _DOUBLES, _TEXT = 33550, 33922, 34264, 34736, 34737
_MOST: Final = {_SCALE: 3, _TIEPOINTS: 6 * 1024, _MATRIX: 16, GEO_KEYS: 4 * 256, _DOUBLES: 1024, _TEXT: 16_384}
"""Values of each tag."""
_KINDS: Final = {GEO_KEYS: 3, _TEXT: 2}
"""SHORT, ASCII; the others are DOUBLE."""
_MOST_WKT: Final = 16_384
_OTHER_FILE: Final = re.compile(r"EXTENSION\[|PARAMETERFILE\[|nadgrids|geoidgrids", re.IGNORECASE)
"""What can make PROJ open a file by its name."""
_OPTIONS: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO", "PROJ_NETWORK": "OFF"}

Found = tuple[Georeference | None, tuple[Said, ...]]


def georeference(page: TiffPage, orientation: int) -> Found:
    """Of the upright picture. With a warning where the file says something that cannot be used."""
    tags = {tag: page.tags.valueof(tag) for tag in _MOST if tag in page.tags}
    if GEO_KEYS not in tags:
        return None, ()
    try:
        crs, stored = _read(tags)
    except _Unusable as error:
        return None, ((WarningCode.GEOREFERENCE_IGNORED, f"{error}; masks are in pixels"),)
    return Georeference(crs, _upright(stored, page.imagewidth, page.imagelength, orientation)), ()


class _Unusable(ValueError):
    """Why, as the beginning of a sentence."""


def _read(tags: dict[int, Any]) -> tuple[str, Sequence[float]]:
    if not (_MATRIX in tags or (_SCALE in tags and _TIEPOINTS in tags)):
        raise _Unusable("the file has a CRS but no transform: ground control points and RPCs are not read")
    for tag, value in tags.items():
        if np.size(value if tag != _TEXT else [*str(value)]) > _MOST[tag]:
            raise _Unusable(f"tag {tag} of the georeference is too long")
    import rasterio  # here, because most images have no georeference
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with (
            rasterio.Env(**_OPTIONS),
            rasterio.MemoryFile(_small_file(tags)) as file,
            file.open(driver="GTiff", sharing=False, GEOREF_SOURCES="INTERNAL") as found,
        ):
            return _name(found.crs), _checked(found.transform)
    except (RasterioError, NotGeoreferencedWarning, ValueError, TypeError, OverflowError, struct.error) as error:
        raise (error if isinstance(error, _Unusable) else _Unusable("the georeference cannot be read")) from error


def _small_file(tags: Mapping[int, Any]) -> bytes:
    """A TIFF of one pixel with these tags."""
    extra = [(tag, _KINDS.get(tag, 12), 0 if tag == _TEXT else len(tags[tag]), tags[tag], True) for tag in sorted(tags)]
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((1, 1), np.uint8), photometric="minisblack", extratags=extra, metadata=None)
    return out.getvalue()


def _name(crs: Any) -> str:
    if crs is None or not (crs.is_projected or crs.is_geographic):
        raise _Unusable("the CRS of the file is not tied to the Earth")
    code = crs.to_epsg(confidence_threshold=100)
    if code is not None:
        return f"EPSG:{code}"
    wkt: str = crs.to_wkt(version="WKT2_2019")
    if len(wkt) > _MOST_WKT or _OTHER_FILE.search(wkt):
        raise _Unusable("the CRS of the file is too long, or names another file")
    return wkt


def _checked(transform: Any) -> Sequence[float]:
    values = tuple(float(value) for value in tuple(transform)[:6])
    a, b, _, d, e, _ = values
    if not all(map(math.isfinite, values)) or a * e == b * d:
        raise _Unusable("the transform of the file gives all pixels one place")
    return values


def _upright(stored: Sequence[float], width: int, height: int, orientation: int) -> Transform:
    """The transform of the upright picture, from that of the stored one of this size."""
    a, b, c, d, e, f = stored

    def place(x: float, y: float) -> tuple[float, float]:
        x, y = stored_point(x, y, width, height, orientation)
        return a * x + b * y + c, d * x + e * y + f

    (x0, y0), (x1, y1), (x2, y2) = place(0, 0), place(1, 0), place(0, 1)
    return (a, b, c, d, e, f) if orientation == 1 else (x1 - x0, x2 - x0, x0, y1 - y0, y2 - y0, y0)
