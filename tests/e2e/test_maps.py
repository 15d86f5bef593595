"""A GeoTIFF through the whole service: a known field comes back where it is on the ground."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyogrio.raw
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
from shapely.geometry import box, shape

from model.masks.rle import decode
from tests.conftest import Bucket

PIXEL = 10.0
WEST, NORTH = 500_000.0, 5_000_000.0
FIELD = (130, 90, 330, 250)
"""x0, y0, x1, y1 in pixels."""


def _scene() -> bytes:
    """A field of one colour on rough ground, in UTM zone 33."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 80, (3, 400, 480)).astype(np.uint8)
    x0, y0, x1, y1 = FIELD
    pixels[:, y0:y1, x0:x1] = rng.integers(0, 12, (3, y1 - y0, x1 - x0)) + np.array([210, 190, 90])[:, None, None]
    transform = rasterio.Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH)
    profile = {"driver": "GTiff", "height": 400, "width": 480, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.MemoryFile() as file:
        with file.open(**profile, crs="EPSG:32633", transform=transform, tiled=True, compress="deflate") as written:
            written.write(pixels)
        return bytes(file.read())


def test_a_field_comes_back_where_it_is(http: httpx.Client, pictures: Bucket, tmp_path: Path) -> None:
    data = _scene()
    x0, y0, x1, y1 = FIELD
    item = {"image": pictures.put("maps/field.tif", data), "prompts": [{"box": FIELD}]}
    job: dict[str, Any] = http.post("/v1/jobs", json={"task": {"type": "prompted"}, "input": {"items": [item]}}).json()
    while not http.get(f"/v1/jobs/{job['id']}?wait=30").json()["done"]:
        pass
    base = f"/v1/jobs/{job['id']}"
    found = http.get(f"{base}/items/0").json()
    assert found["georeference"] == {"crs": "EPSG:32633", "transform": [PIXEL, 0, WEST, 0, -PIXEL, NORTH]}
    (feature,) = http.get(f"{base}/results?format=geojson").json()["features"]
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform
    polygon = shapely.transform(shape(feature["geometry"]), to_utm, interleaved=False)

    (mask,) = http.get(f"{base}/items/0/masks").json()["masks"]
    pixels = decode(mask["segmentation"]).astype(np.uint8)
    with rasterio.MemoryFile(data) as file, file.open() as scene:
        shapes = rasterio.features.shapes(pixels, pixels == 1, transform=scene.transform)
        expected = shapely.union_all([shape(geometry) for geometry, _ in shapes])
    assert polygon.hausdorff_distance(expected) < 0.01
    assert feature["properties"]["area_m2"] == pytest.approx(expected.area, rel=2e-3)

    path = tmp_path / "results.gpkg"
    path.write_bytes(http.get(f"{base}/results?format=gpkg").content)
    _, _, geometries, _ = pyogrio.raw.read(path, layer="epsg_32633")
    assert shapely.from_wkb(geometries)[0].equals(expected)
    field = box(WEST + x0 * PIXEL, NORTH - y1 * PIXEL, WEST + x1 * PIXEL, NORTH - y0 * PIXEL)
    assert polygon.bounds == pytest.approx(field.bounds, abs=PIXEL + 0.01)
    assert polygon.intersection(field).area > 0.98 * polygon.union(field).area


def test_uploads_and_prompts_outside(http: httpx.Client) -> None:
    """An uploaded GeoTIFF has its georeference. A prompt in the units of the map is outside of it, and says so."""
    prompts = [{"id": "field", "box": FIELD}, {"id": "map", "points": [[WEST + 100, 400]], "labels": [1]}]
    request = json.dumps({"task": {"type": "prompted"}, "prompts": prompts})
    files: Any = {"image": ("a.tif", _scene(), "image/tiff"), "request": (None, request, "application/json")}
    found = http.post("/v1/segment", files=files).json()
    assert found["georeference"] == {"crs": "EPSG:32633", "transform": [PIXEL, 0, WEST, 0, -PIXEL, NORTH]}
    assert [mask["prompt_id"] for mask in found["masks"]] == ["field"]
    assert [(one["code"], one["prompt_id"]) for one in found["warnings"]] == [("PROMPT_FAILED", "map")]
