"""What users of other tools reported about CRSs since December 2024, each tried on our files.

| Report | What went wrong there | Test |
|---|---|---|
| opengeos/segment-geospatial#478 | are images warped to EPSG:4326, and so distorted? Nobody could tell | not_warped |
| opengeos/segment-geospatial#399 | an image that is no file on disk lost its CRS | uploads, in tests/e2e/test_maps.py |
| opengeos/qgis-samgeo-plugin#34 | prompts in units of the map were taken for pixels | uploads, in the same file |
| opengeos/qgis-samgeo-plugin#21 | without a CRS, y ran up in one program and down in the other | y_runs_down |
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely

from model.masks.rle import encode
from tests.api.conftest import Service, result_row

pytestmark = pytest.mark.anyio
MASK = np.zeros((30, 40), np.bool_)
MASK[2:5, 10:30] = True


async def _package(service: Service, georeference: dict[str, Any] | None, path: Path) -> Path:
    job = (await service.submit(1))["id"]
    service.work(job, lambda _: result_row([encode(MASK)]) | {"georeference": georeference}, 1)
    path.write_bytes((await service.client.get(f"/v1/jobs/{job}/results?format=gpkg")).content)
    return path


async def test_not_warped(service: Service, tmp_path: Path) -> None:
    """At 60° north, a pixel of Web Mercator is square in the file and in the results."""
    where: dict[str, Any] = {"crs": "EPSG:3857", "transform": [10.0, 0.0, 1_000_000.0, 0.0, -10.0, 8_400_000.0]}
    meta, _, geometry, columns = pyogrio.raw.read(
        await _package(service, where, tmp_path / "a.gpkg"), layer="epsg_3857", columns=["area"]
    )
    assert meta["crs"] == "EPSG:3857" and columns[0][0] == MASK.sum()
    assert shapely.from_wkb(geometry)[0].bounds == (1_000_100, 8_399_950, 1_000_300, 8_399_980)


async def test_y_runs_down(service: Service, tmp_path: Path) -> None:
    _, _, geometry, _ = pyogrio.raw.read(await _package(service, None, tmp_path / "a.gpkg"), layer="pixels")
    assert shapely.from_wkb(geometry)[0].bounds == (10, 2, 30, 5)
