"""Windows of a TIFF have the pixels of the whole, and only what they lie in is read."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from db.states import Depth, ItemReason, WarningCode
from model.tiles.grid import Window
from tests.workers.images.encoding import CAP, noise, pillow, read, smooth, tiff
from workers.failures import ItemFailed
from workers.images.windows import open_windows

RGB = noise(300, 400)
CORNERS = [Window(0, 0, 1, 1), Window(37, 111, 150, 90), Window(399, 299, 1, 1), Window(0, 0, 400, 300)]


class Counted:
    """Octets that say how many of them were asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._data = data
        self.asked = 0

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, span: slice) -> bytes:
        found = self._data[span]
        self.asked += len(found)
        return found

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(size)
        self.asked += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _cut(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    return pixels[window.y : window.y + window.height, window.x : window.x + window.width]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "layout",
    [{"tile": (64, 48), "compression": "zlib", "predictor": True}, {"rowsperstrip": 7}],
    ids=["tiles", "strips"],
)
def test_a_window_is_that_part_of_the_upright_picture(layout: dict[str, Any], orientation: int) -> None:
    file = tiff(RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, True)], **layout)
    whole = read(file).pixels
    with open_windows(file, CAP) as windows:
        assert (windows.height, windows.width) == whole.shape[:2] and windows.bands == 3
        for window in CORNERS if orientation < 5 else [Window(y, x, h, w) for x, y, w, h in CORNERS]:
            assert np.array_equal(windows.read(window), _cut(whole, window))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_only_the_tiles_of_a_window_are_read(planar: str) -> None:
    pixels = noise(1024, 1024)
    stored = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
    data = Counted(tiff(stored, photometric="rgb", planarconfig=planar, tile=(64, 64)))
    with open_windows(data, CAP) as windows:
        head, data.asked = data.asked, 0
        assert np.array_equal(windows.read(Window(70, 130, 50, 60)), pixels[130:190, 70:120])
        assert head < 20_000 and data.asked == 64 * 64 * 3


def _pyramid(pixels: NDArray[Any], overview: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(pixels, photometric="minisblack", tile=(64, 64))
        writer.write(overview, photometric="minisblack", tile=(64, 64), subfiletype=1)
    return out.getvalue()


def test_all_windows_share_the_range_of_the_whole() -> None:
    deep = np.zeros((600, 800), np.uint16)
    deep[:300] = np.linspace(0, 4000, 800)
    for file in (tiff(deep, photometric="minisblack", tile=(64, 64)), _pyramid(deep, deep[::2, ::2])):
        with open_windows(file, CAP) as windows:
            assert windows.range == (0, 4095)
            assert np.array_equal(windows.read(Window(0, 400, 9, 9)), np.zeros((9, 9, 3)))
            assert np.array_equal(
                windows.read(Window(500, 100, 99, 9)), _cut(read(file).pixels, Window(500, 100, 99, 9))
            )
            assert [code for code, _ in windows.warnings] == [WarningCode.DEPTH_SCALED]
        with open_windows(file, CAP, Depth.PERCENTILES, known=(100, 200)) as windows:
            assert windows.range == (100, 200) and windows.read(Window(799, 0, 1, 1)).max() == 255


def test_what_is_too_much_is_refused_before_it_is_decoded() -> None:
    with open_windows(tiff(RGB, photometric="rgb", tile=(64, 64)), 1000) as windows:
        with pytest.raises(ItemFailed) as caught:
            windows.read(Window(0, 0, 40, 40))
        with pytest.raises(ValueError):
            windows.read(Window(399, 0, 2, 2))
    assert caught.value.reason is ItemReason.IMAGE_TOO_LARGE


def test_only_tiff_is_read_by_windows() -> None:
    with pytest.raises(ItemFailed) as caught, open_windows(pillow("PNG", smooth()), CAP):
        pass
    assert caught.value.reason is ItemReason.UNSUPPORTED_FORMAT
