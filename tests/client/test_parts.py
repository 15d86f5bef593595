"""Parts of the client that need no server."""

import io
import re
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as pycoco

import maskworks
from db.globs import KNOWN_EXTENSIONS
from maskworks import Client, Config, ConfigError, ConnectionFailed, Mask
from maskworks.masks import RLE
from maskworks.records import Result
from maskworks.retries import Retries, read_retry_after
from maskworks.sse import EventReader
from maskworks.uploads import SUFFIXES
from maskworks.yolo import YoloFolder

PACKAGE = Path(__file__).parents[2] / "client" / "maskworks"


def mask_of(pixels: np.ndarray) -> Mask:
    rle = pycoco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    segmentation = RLE((rle["size"][0], rle["size"][1]), rle["counts"].decode())
    return Mask(0, segmentation, (0, 0, 0, 0), int(pixels.sum()), 0.5, 0.5)


def test_any_mask_becomes_pixels_and_polygons() -> None:
    random = np.random.default_rng(3)
    masks = [random.random((h, w)) < share for h, w in ((1, 1), (7, 5), (40, 60)) for share in (0, 0.05, 0.5, 0.95, 1)]
    large = np.zeros((700, 900), bool)
    large[100:650, 3:890] = True
    for pixels in (*masks, large):
        mask = mask_of(pixels)
        assert (mask.to_numpy() == pixels).all()
        height, width = pixels.shape
        windows = (0, 0, width, height), (width // 3, height // 4, width // 2, height // 2), (-2, -3, 9, 8)
        for x, y, w, h in windows:
            seen = np.zeros((h, w), bool)
            part = pixels[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
            seen[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]] = part
            assert (mask.to_numpy((x, y, w, h)) == seen).all()
        polygon = mask.to_shapely()
        assert polygon.is_valid and polygon.area == pixels.sum()


def even_odd(path: list[tuple[float, float]], height: int, width: int) -> np.ndarray:
    """Pixels whose centre is inside the polygon by the even-odd rule."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in pairwise([*path, path[0]]):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def test_a_polygon_of_yolo_is_the_mask_with_its_holes_and_parts(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), bool)
    pixels[2:20, 3:25] = pixels[22:28, 30:39] = True
    pixels[5:9, 6:12] = pixels[12:15, 15:20] = False
    folder = YoloFolder(tmp_path)
    for index, custom_id in enumerate(["a/cat.jpg", "../a/cat.png", "7"]):
        image = f"s3://images/there/{index}.jpg"
        folder.add(Result(str(index), custom_id, index, image, "succeeded", size=(30, 40), masks=[mask_of(pixels)]))
    folder.finish()
    written = {str(path.relative_to(tmp_path / "labels")) for path in (tmp_path / "labels").rglob("*.txt")}
    assert written == {"a/cat.txt", "a/cat-1.txt", "images/there/2.txt"}
    number, *shares = (tmp_path / "labels/a/cat.txt").read_text().split()
    corners = np.array(shares, float).reshape(-1, 2) * (40, 30)
    assert number == "0" and (even_odd([(x, y) for x, y in corners], 30, 40) == pixels).all()
    assert "0: 'object'" in (tmp_path / "data.yaml").read_text()


def test_the_wheel_is_small_and_typed() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(PACKAGE))
        assert "py.typed" in archive.namelist()
    assert len(packed.getvalue()) < 200_000


def test_a_key_goes_only_to_the_server_that_it_stands_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = tmp_path / ".maskworks" / "stack.json"
    stack.parent.mkdir()
    stack.write_text('{"api_url": "http://here:1", "api_key": "of the stack", "s3": {"bucket": "images"}}')
    file = tmp_path / "config.toml"
    file.write_text('url = "http://there/"\napi_key = "of the file"\nuploads = "s3://mine/"')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    alone = {"HOME": "/nowhere"}
    found = Config.find(env=alone)
    assert (found.url, found.api_key, found.uploads) == ("http://here:1", "of the stack", "s3://images/uploads/")
    found = Config.find(env={"MASKWORKS_CONFIG": str(file)})
    assert (found.url, found.api_key, found.uploads) == ("http://there", "of the file", "s3://mine/")
    assert Config.find("http://else", "given", env=alone).api_key == "given"
    for url in ("http://else", "http://there.else"):
        with pytest.raises(ConfigError, match="no API key"):
            Config.find(env={"MASKWORKS_URL": url, "MASKWORKS_CONFIG": str(file)})
    assert "of the" not in repr(found)


def test_a_folder_gives_what_a_prefix_would_give() -> None:
    assert {f".{extension}" for extension in KNOWN_EXTENSIONS} == SUFFIXES


def test_without_a_server_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="MASKWORKS_URL"):
        Config.find(env={"HOME": "/nowhere"})
    with pytest.raises(ConfigError, match="http://"):
        Config.find("127.0.0.1:8000", "key", env={"HOME": "/nowhere"})
    assert Config.find("http://there/v1/", "key", env={"HOME": "/nowhere"}).url == "http://there"
    said: list[str] = []
    client = Client("http://127.0.0.1:9", "key", retries=1, on_retry=lambda why, _: said.append(why))
    with client, pytest.raises(ConnectionFailed, match="127"):
        client.models()
    assert len(said) == 1 and "cannot be reached" in said[0]


def test_a_server_is_asked_again_when_it_wants_to_be() -> None:
    retries = Retries(3)
    assert (retries.pause_after(429, {"retry-after": "7"}) or 0) >= 7
    assert 0 < (retries.pause_after_failure() or 0) <= 0.5
    assert retries.pause_after(422, {}) is None and retries.pause_after(503, {"retry-after": "3600"}) is None
    assert retries.pause_after(503, {}) is not None and retries.pause_after(503, {}) is None
    assert read_retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0 and read_retry_after("soon") is None


def test_events_that_come_twice_are_read_once() -> None:
    reader = EventReader()
    lines = ["retry: 500", "", ": still here", "", *["id: 1", "event: progress", "data: a", "data: b", ""] * 2, "id: 2"]
    events = [event for line in lines if (event := reader.feed(line))]
    assert [(event.id, event.type, event.data) for event in events] == [("1", "progress", "a\nb")]
    assert (reader.last_id, reader.retry_seconds) == ("1", 0.5)
    reader.connected()
    assert reader.feed("data: c") is None
    last = reader.feed("")
    assert last is not None and last.data == "c"


def loaded_by(module: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    environment = {"PYTHONPATH": str(PACKAGE.parent)}
    return set(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.split())


def test_importing_it_is_light() -> None:
    heavy = {"torch", "httpx", "numpy", "boto3", "rich", "pydantic", "anyio", "asyncio", "maskworks.aio.client"}
    heavy |= {"logging", "email", "tempfile", "tomllib", "api", "db", "model", "deploy"}
    assert "maskworks.sync.client" in loaded_by("maskworks") and loaded_by("maskworks") & heavy == set()
    assert loaded_by("maskworks.cli.main") & heavy - {"logging", "tempfile"} == set()


def test_the_asynchronous_client_is_loaded_where_it_is_asked_for() -> None:
    assert [name for name in maskworks.__all__ if not hasattr(maskworks, name)] == []
    with pytest.raises(AttributeError, match="nothing"):
        maskworks.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_that_of_the_metadata() -> None:
    metadata = (PACKAGE.parent / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.*)"', metadata, re.M)
    assert f'VERSION: Final = "{version}"' in (PACKAGE / "version.py").read_text()
