"""Where on the ground a GeoTIFF is, against what rasterio reads from the same file."""

import io
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_origin

from db.georeference import Georeference
from db.states import WarningCode
from tests.workers.images.encoding import CAP, read, smooth, tiff
from workers.images.geotiff import georeference
from workers.images.windows import open_windows

UTM = from_origin(500_000, 5_000_000, 10, 10)
ROTATED = Affine(3, 1, 10, 2, -4, 20)
LOCAL = "+proj=laea +lat_0=52 +lon_0=10 +x_0=123 +ellps=GRS80 +units=m"


def geotiff(**profile: Any) -> bytes:
    pixels = np.moveaxis(smooth(), 2, 0)
    options = {"driver": "GTiff", "height": 61, "width": 83, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    tags = profile.pop("tags", {})
    with rasterio.MemoryFile() as file:
        with file.open(**options | profile) as written:
            written.write(pixels)
            written.update_tags(**tags)
        return bytes(file.read())


@pytest.mark.parametrize("transform", [UTM, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857", LOCAL])
@pytest.mark.parametrize("tags", [{}, {"AREA_OR_POINT": "Point"}], ids=["areas", "points"])
def test_the_georeference_is_the_one_that_rasterio_reads(tags: dict[str, str], crs: str, transform: Affine) -> None:
    data = geotiff(crs=crs, transform=transform, tags=tags)
    found = read(data)
    with rasterio.open(io.BytesIO(data)) as expected:
        assert found.georeference is not None
        assert found.georeference.transform == pytest.approx(tuple(expected.transform)[:6])
        assert rasterio.CRS.from_user_input(found.georeference.crs) == expected.crs
    assert found.georeference.crs == crs if crs != LOCAL else found.georeference.crs.startswith("PROJCRS[")
    assert found.warnings == () and np.array_equal(found.pixels, smooth())
    with open_windows(data, CAP) as windows:
        assert windows.georeference == found.georeference


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_transform_is_of_the_upright_picture(orientation: int) -> None:
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    matrix = (10.0, 0, 0, 500_000, 0, -10, 0, 5_000_000, 0, 0, 0, 0, 0, 0, 0, 1)
    extra = [(34264, 12, 16, matrix, True), (34735, 3, len(keys), keys, True), (274, 3, 1, orientation, True)]
    stored = np.zeros((40, 60), np.uint8)
    stored[7, 11] = 255
    found = read(tiff(stored, photometric="minisblack", extratags=extra))
    assert found.georeference is not None
    (y,), (x,) = np.nonzero(found.pixels[..., 0])
    east, north = Affine(*found.georeference.transform) @ (x + 0.5, y + 0.5)
    assert (east, north) == (500_000 + 115, 5_000_000 - 75)


POINTS = [GroundControlPoint(row, column, column * 10.0, row * 10.0) for row, column in ((0, 0), (0, 9), (9, 0))]


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ({"crs": "EPSG:32633", "gcps": POINTS}, "control points"),
        ({"crs": 'LOCAL_CS["site",UNIT["metre",1]]', "transform": UTM}, "not tied to the Earth"),
        ({"crs": LOCAL + " +nadgrids=@/etc/passwd", "transform": UTM}, "names another file"),
    ],
    ids=["control points", "local", "another file"],
)
def test_what_cannot_be_used_is_said(profile: dict[str, Any], why: str) -> None:
    found = read(geotiff(**profile))
    assert found.georeference is None
    ((code, detail),) = found.warnings
    assert code is WarningCode.GEOREFERENCE_IGNORED and why in detail and "masks are in pixels" in detail


@pytest.mark.parametrize("keys", [(1, 1, 0, 9999), tuple(range(2000)), (7,) * 16, (1, 1, 0, 1, 3072, 0, 1, 65535)])
def test_damaged_keys_never_fail_the_picture(keys: tuple[int, ...]) -> None:
    extra = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True), (34735, 3, len(keys), keys, True)]
    found = read(tiff(smooth(), photometric="rgb", extratags=extra))
    assert found.georeference is None and np.array_equal(found.pixels, smooth())
    assert [code for code, _ in found.warnings] == [WarningCode.GEOREFERENCE_IGNORED]


def test_a_plain_tiff_has_none() -> None:
    assert read(tiff(smooth(), photometric="rgb")).georeference is None
    assert Georeference.of(None) is None and callable(georeference)


def test_imagery_of_16_bits_is_scaled_by_percentiles_without_nodata() -> None:
    ground = np.random.default_rng(0).integers(800, 1200, (1, 200, 300)).astype(np.int16)
    ground[:, :80] = -9999
    ground[:, 100, 100] = 20_000  # a cloud
    with rasterio.MemoryFile() as file:
        options = {"driver": "GTiff", "height": 200, "width": 300, "count": 1, "dtype": "int16", "tiled": True}
        with file.open(**options, crs="EPSG:32633", transform=UTM, nodata=-9999, blockxsize=64, blockysize=64) as out:
            out.write(ground)
        data = bytes(file.read())
    found = read(data).pixels[..., 0]
    assert found[:80].max() == 0 and found[100, 100] == 255
    assert np.percentile(found[80:], 10) < 30 and np.percentile(found[80:], 90) > 225
    with open_windows(data, CAP) as windows:
        assert windows.range is not None and 795 <= windows.range[0] < windows.range[1] <= 1205


def test_absent_tiles_of_a_geotiff_are_nodata() -> None:
    pixels = np.zeros((3, 128, 128), np.uint8)
    pixels[:, 64:, 64:] = np.moveaxis(smooth(64, 64), 2, 0)
    with rasterio.MemoryFile() as file:
        options = {"driver": "GTiff", "height": 128, "width": 128, "count": 3, "dtype": "uint8", "tiled": True}
        with file.open(
            **options, crs="EPSG:32633", transform=UTM, blockxsize=64, blockysize=64, sparse_ok=True, nodata=0
        ) as out:
            out.write(pixels[:, 64:, 64:], window=rasterio.windows.Window(64, 64, 64, 64))
        data = bytes(file.read())
    assert np.array_equal(np.moveaxis(read(data).pixels, 2, 0), pixels)
