"""Masks on the ground: geojson in longitude and latitude, gpkg in the image's own CRS, areas in square metres."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import shapely
from shapely.geometry import shape

from db.georeference import Georeference, Transform
from db.states import ItemReason
from exports import gpkg
from exports.ground import Ground, square_metres
from model.masks.rle import encode
from tests.api.conftest import Service, failure_row, result_row

pytestmark = pytest.mark.anyio

UTM: dict[str, Any] = {"crs": "EPSG:32633", "transform": [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0]}
WEB: dict[str, Any] = {"crs": "EPSG:3857", "transform": [10.0, 0.0, 1_000_000.0, 0.0, -10.0, 8_400_000.0]}
LONLAT: dict[str, Any] = {"crs": "EPSG:4326", "transform": [0.01, 0.0, 10.0, 0.0, -0.01, 60.0]}
LAEA = pyproj.CRS("+proj=laea +lat_0=52 +lon_0=10 +x_0=123 +ellps=GRS80 +units=m").to_wkt()


def _with_hole() -> Any:
    mask = np.zeros((30, 40), np.bool_)
    mask[10:20, 5:25] = True
    mask[12:14, 8:12] = False
    return encode(mask)


async def _results(service: Service, rows: list[dict[str, Any]]) -> str:
    job: str = (await service.submit(len(rows)))["id"]
    service.work(job, lambda i: rows[i], len(rows))
    return f"/v1/jobs/{job}/results"


def _layers(content: bytes, folder: Path) -> dict[str, Any]:
    """Of each layer: its CRS, its geometries, its columns."""
    path = folder / "found.gpkg"
    path.write_bytes(content)
    found = {}
    for name, kind in pyogrio.list_layers(path):
        meta, _, geometry, columns = pyogrio.raw.read(path, layer=name)
        geometries = [] if kind is None else shapely.from_wkb(geometry)
        found[str(name)] = (meta["crs"], geometries, dict(zip(meta["fields"], columns, strict=True)))
    return found


async def test_each_image_in_its_own_crs_and_all_in_longitude_and_latitude(service: Service, tmp_path: Path) -> None:
    mask = _with_hole()
    rows = [result_row([mask]) | {"georeference": where} for where in (UTM, WEB, LONLAT, None)]
    url = await _results(service, [*rows, failure_row(ItemReason.TIMEOUT)])
    features = (await service.client.get(url, params={"format": "geojson"})).json()["features"]
    answer = await service.client.get(url, params={"format": "gpkg"})
    assert answer.headers["content-type"] == "application/geopackage+sqlite3"
    layers = _layers(answer.content, tmp_path)
    assert set(layers) == {"epsg_32633", "epsg_3857", "epsg_4326", "pixels", "job", "failed_items"}
    for feature, where in zip(features, (UTM, WEB, LONLAT), strict=False):
        crs, (native,), columns = layers[f"epsg_{where['crs'].split(':')[1]}"]
        assert crs == where["crs"] == feature["properties"]["crs"]
        a, _, c, _, e, f = where["transform"]
        corners = ((5, 10), (25, 10), (25, 20), (5, 20))
        outer = shapely.Polygon([(a * x + c, e * y + f) for x, y in corners])
        (polygon,) = native.geoms
        assert shapely.Polygon(polygon.exterior).equals(outer) and len(polygon.interiors) == 1
        lonlat = shape(feature["geometry"])
        assert lonlat.exterior.is_ccw and not lonlat.interiors[0].is_ccw and lonlat.is_valid
        back = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform
        assert shapely.transform(lonlat, back, interleaved=False).hausdorff_distance(polygon) < 1e-3
        expected = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(lonlat)[0])
        assert feature["properties"]["area_m2"] == columns["area_m2"][0] == pytest.approx(expected, rel=1e-6)
    areas = [feature["properties"]["area_m2"] for feature in features]
    assert areas[0] == pytest.approx(192 * 100, rel=1e-3)  # of Web Mercator at 60° north, four times less
    assert areas[1] == pytest.approx(192 * 100 * math.cos(math.radians(60.1)) ** 2, rel=0.02)
    assert areas[3] is None and features[3]["properties"]["crs"] is None
    assert features[3]["geometry"]["coordinates"][0][0] in ([5, 10], [5, 20], [25, 10], [25, 20])
    _, (pixels,), columns = layers["pixels"]
    assert pixels.bounds == (5, 10, 25, 20) and columns["area"][0] == 192 and np.isnan(columns["area_m2"][0])
    assert layers["failed_items"][2]["reason"][0] == "TIMEOUT" and layers["job"][2]["state"][0] == "partially_succeeded"


async def test_a_crs_that_has_no_code(service: Service, tmp_path: Path) -> None:
    where = {"crs": LAEA, "transform": [10.0, 0.0, 0.0, 0.0, -10.0, 0.0]}
    url = await _results(service, [result_row([_with_hole()]) | {"georeference": where}])
    layers = _layers((await service.client.get(url, params={"format": "gpkg"})).content, tmp_path)
    (name,) = (name for name in layers if name.startswith("crs_"))
    assert pyproj.CRS(layers[name][0]) == pyproj.CRS(LAEA)
    assert layers[name][1][0].bounds == (50, -200, 250, -100)


async def test_what_has_no_place_says_so(service: Service, tmp_path: Path) -> None:
    far = {"crs": "EPSG:32633", "transform": [10.0, 0.0, 1e30, 0.0, -10.0, 1e30]}
    unknown = {"crs": "EPSG:999999", "transform": UTM["transform"]}
    url = await _results(service, [result_row([_with_hole()]) | {"georeference": where} for where in (far, unknown)])
    features = (await service.client.get(url, params={"format": "geojson"})).json()["features"]
    assert [(f["geometry"], f["properties"]["no_place"]) for f in features] == [(None, True)] * 2
    layers = _layers((await service.client.get(url, params={"format": "gpkg"})).content, tmp_path)
    assert np.isnan(layers["epsg_32633"][2]["area_m2"][0])


async def test_a_job_without_masks_is_a_whole_package(service: Service, tmp_path: Path) -> None:
    url = await _results(service, [result_row([])])
    assert set(_layers((await service.client.get(url, params={"format": "gpkg"})).content, tmp_path)) == {
        "job",
        "failed_items",
    }


async def test_many_crss_and_many_features(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are written in groups, and layers are limited. What is left over is in longitude and latitude."""
    monkeypatch.setattr(gpkg, "AT_ONCE", 3)
    monkeypatch.setattr(gpkg, "LAYERS", 2)
    wheres = [UTM | {"crs": f"EPSG:{code}"} for code in (32633, 32632, 32631, 32633)]
    url = await _results(service, [result_row([_with_hole()] * 4) | {"georeference": where} for where in wheres])
    layers = _layers((await service.client.get(url, params={"format": "gpkg"})).content, tmp_path)
    counts = {name: len(geometries) for name, (_, geometries, _) in layers.items() if name.startswith("epsg")}
    assert counts == {"epsg_32633": 8, "epsg_32632": 4, "epsg_4326": 4}
    monkeypatch.setattr(gpkg, "MOST_BYTES", 1)
    answer = await service.client.get(url, params={"format": "gpkg"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "FILE_TOO_LARGE")
    one = await service.client.get(url, params={"format": "gpkg", "page_size": 1})
    assert one.status_code == 200


def _square(side: int) -> list[Any]:
    return [np.array([[0, 0], [0, side], [side, side], [side, 0]])]


@pytest.mark.parametrize(
    ("crs", "size", "x"), [("EPSG:4326", 0.001, 179.95), ("EPSG:4326", 0.001, -180.05), ("EPSG:32660", 100, 825_000)]
)
def test_polygons_across_the_antimeridian_stay_in_one_piece(crs: str, size: float, x: float) -> None:
    y = 10 if size < 1 else 1_100_000
    found = Ground(_georeference(crs, (size, 0, x, 0, -size, y))).lonlat(_square(100))
    longitudes = found[0][:, 0]
    assert 0.08 < longitudes.max() - longitudes.min() < 0.11 and 179 < abs(longitudes.mean()) <= 180
    assert longitudes.min() < -180 or longitudes.max() > 180
    assert square_metres([found]) == pytest.approx(120.4e6 if size < 1 else 100e6, rel=0.01)


def test_longitudes_up_to_360_are_brought_home() -> None:
    found = Ground(_georeference("EPSG:4326", (0.1, 0, 200, 0, -0.1, 10))).lonlat(_square(100))
    assert (found[0][:, 0].min(), found[0][:, 0].max()) == (-160, -150)


def test_long_edges_follow_the_curve() -> None:
    """A straight edge of 500 km in UTM, whose ends alone would be kilometres off in between."""
    found = Ground(_georeference("EPSG:32633", (10, 0, 200_000, 0, -10, 6_500_000))).lonlat(_square(50_000))
    back = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform
    edge = shapely.segmentize(shapely.LinearRing(found[0]), 0.01)
    placed = shapely.transform(edge, back, interleaved=False)
    square = shapely.box(200_000, 6_000_000, 700_000, 6_500_000).exterior
    assert max(square.distance(shapely.Point(point)) for point in placed.coords[::50]) < 1


def _georeference(crs: str, transform: Transform) -> Georeference:
    return Georeference(crs, transform)
