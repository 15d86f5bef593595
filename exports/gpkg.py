"""GeoPackage: each mask as a feature in the CRS of its image, a layer for each CRS."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Row

from db.statements import export
from exports.failed_items import failed_items
from exports.format import FileTooLarge, Format
from exports.geojson import about_mask, outlines, together
from exports.ground import Ground, NoPlace, square_metres, wkt_of
from exports.pages import Source
from exports.views import mask_views
from exports.wkb import multi_polygon
from model.masks.outlines import Polygon

ABOUT = """A GeoPackage (OGC 12-128), as QGIS, ArcGIS, GDAL and geopandas read it. Each mask is a feature with a
`MultiPolygon`, exactly along the edges of its pixels. Holes are kept.

- **Each CRS has a layer of its own**, with coordinates in that CRS: `epsg_32633`. A CRS that EPSG does not have gets a
  name made of its text. Masks of images without a CRS are in the layer `pixels`: x to the right, y down, in no CRS.
- Columns are those of `properties` in the format `geojson`, without `crs`. `area_m2` is the geodesic area in square
  metres, on the ellipsoid of WGS 84 whatever the CRS is, so that it does not depend on the projection.
- The table `job` describes the job, and `failed_items` lists the items that failed, with their reasons.
- A mask without a pixel is left out. A mask with too many corners has no geometry, as in `geojson`.
- At most 100 layers: masks of further CRSs are in `epsg_4326`.
- The file is written whole before its first byte is sent. It has at
  most 2 GiB. Take a larger job in parts by `page_size`, or as an `output`."""
MOST_BYTES: Final = 2 << 30
"""On the disk of the process that writes the file."""
_PIECE: Final = 256 * 1024
AT_ONCE: Final = 500
"""Features that are written together."""
_BYTES_AT_ONCE: Final = 2**20
LAYERS: Final = 100
_LONLAT: Final = "EPSG:4326"
_PIXELS: Final = "pixels"
_NO_CRS: Final = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["pixel",1]]'
_COLUMNS: Final[dict[str, type[Any] | str]] = {
    "item_id": object,
    "custom_id": object,
    "image": object,
    "width": "int32",
    "height": "int32",
    "mask_id": "int32",
    "prompt_id": object,
    "phrase": object,
    "score": "float64",
    "area": "int64",
    "predicted_iou": "float64",
    "stability_score": "float64",
    "bbox": object,
    "area_m2": "float64",
}


class _Package:
    """A file in the making. Features wait for each other, so that they are written some hundred at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layers: set[str] = set()
        self._waiting: dict[str, list[tuple[bytes | None, dict[str, Any]]]] = {}
        self._crs: dict[str, str] = {}
        self._held = 0

    def check_size(self) -> None:
        """Before another item. Raises FileTooLarge, so that a single item is always written."""
        if self._crs and self._path.stat().st_size > MOST_BYTES:
            raise FileTooLarge(f"the file has more than {MOST_BYTES >> 30} GiB: take it in parts by `page_size`")

    def layer(self, crs: str | None) -> str | None:
        """The layer of a CRS. None: there are too many."""
        name = _PIXELS if crs is None else _layer_name(crs)
        if name not in self._crs and len(self._crs) >= LAYERS and name not in (_PIXELS, _layer_name(_LONLAT)):
            return None
        if name not in self._crs:
            self._crs[name] = _NO_CRS if crs is None else wkt_of(crs) or _NO_CRS
        return name

    def add(self, layer: str, geometry: bytes | None, about: dict[str, Any]) -> None:
        self._waiting.setdefault(layer, []).append((geometry, about))
        self._held += len(geometry or b"") + 1000
        if len(self._waiting[layer]) >= AT_ONCE or self._held > _BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        for layer, features in self._waiting.items():
            geometry = np.array([found for found, _ in features], object)
            columns = {name: [about[name] for _, about in features] for name in _COLUMNS}
            self._write(layer, columns, geometry, self._crs[layer])
        self._waiting.clear()
        self._held = 0

    def table(self, name: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        """Rows without a geometry, all of text."""
        self._write(name, {column: [row[column] for row in rows] for column in columns}, None, None)

    def _write(self, layer: str, columns: dict[str, list[Any]], geometry: NDArray[Any] | None, crs: str | None) -> None:
        from pyogrio.raw import write

        filled = {name: _column(values, _COLUMNS.get(name, object)) for name, values in columns.items()}
        write(
            self._path,
            geometry=geometry,
            field_data=[values for values, _ in filled.values()],
            fields=[*filled],
            field_mask=[mask for _, mask in filled.values()],
            layer=layer,
            driver="GPKG",
            geometry_type=None if geometry is None else "MultiPolygon",
            crs=crs,
            append=layer in self._layers,
        )
        self._layers.add(layer)


def _column(values: list[Any], kind: type[Any] | str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    absent = np.array([value is None for value in values], np.bool_)
    if kind is object:
        return np.array([*values, None], object)[:-1], None
    return np.array([0 if value is None else value for value in values], kind), absent


def _layer_name(crs: str) -> str:
    kind, _, code = crs.partition(":")
    if kind == "EPSG" and code.isdecimal():
        return f"epsg_{code}"
    return f"crs_{hashlib.sha256(crs.encode()).hexdigest()[:12]}"


async def gpkg(source: Source) -> AsyncGenerator[bytes, None]:
    """SQLite writes anywhere in its file, so the file is made on disk, some masks at a time, and then sent."""
    with tempfile.TemporaryDirectory(prefix="maskworks-") as folder:
        path = Path(folder) / "results.gpkg"
        await _made(source, _Package(path))
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece


async def _made(source: Source, package: _Package) -> None:
    about = source.about() | {"counts": orjson.dumps(source.about()["counts"]).decode()}
    job = [{name: str(value) for name, value in about.items()}]
    await asyncio.to_thread(package.table, "job", job, [*about])
    failed: list[dict[str, Any]] = []
    columns = ("item_id", "custom_id", "image", "reason", "detail")
    async for item in failed_items(source):
        failed.append(item)
        if len(failed) == AT_ONCE:
            await asyncio.to_thread(package.table, "failed_items", failed, columns)
            failed = []
    await asyncio.to_thread(package.table, "failed_items", failed, columns)
    async for row in source.rows(export.succeeded_masks):
        package.check_size()
        for masks in together([mask for mask in mask_views(row) if mask["area"] > 0]):
            await asyncio.to_thread(_add, package, row, masks)
    await asyncio.to_thread(package.flush)


def _add(package: _Package, row: Row[Any], masks: list[dict[str, Any]]) -> None:
    ground = Ground.of(row.georeference)
    layer, place = _place(package, ground)
    for mask, polygons in zip(masks, outlines(masks), strict=True):
        about = about_mask(row, mask) | {"area_m2": None}
        about["bbox"] = orjson.dumps(about["bbox"]).decode()
        geometry = None
        if polygons is not None:
            with suppress(NoPlace):
                geometry = multi_polygon([place(polygon) for polygon in polygons])
            about["area_m2"] = None if ground is None else _area(ground, polygons)
        package.add(layer, geometry, about)


def _place(package: _Package, ground: Ground | None) -> tuple[str, Callable[[Polygon], Sequence[NDArray[Any]]]]:
    """The layer of an image, and what its polygons are in that layer's CRS."""
    if ground is None:
        return package.layer(None) or _PIXELS, lambda polygon: polygon
    layer = package.layer(ground.crs)
    if layer is None:
        return package.layer(_LONLAT) or _PIXELS, ground.lonlat
    return layer, ground.native


def _area(ground: Ground, polygons: Sequence[Polygon]) -> float | None:
    try:
        return round(square_metres([ground.lonlat(polygon) for polygon in polygons]), 3)
    except NoPlace:
        return None


FORMAT = Format("application/geopackage+sqlite3", "gpkg", ABOUT, gpkg)
