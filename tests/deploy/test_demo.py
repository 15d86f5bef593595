"""The demo's pictures, its drawing, and the whole of it as a process (null model)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from deploy.demo.drawing import draw
from deploy.demo.photographs import PHOTOGRAPHS, folder
from model.masks.rle import encode

ROOT = Path(__file__).parents[2]


def test_every_object_lies_in_its_picture() -> None:
    for name, objects in PHOTOGRAPHS.items():
        with Image.open(folder() / name) as picture:
            width, height = picture.size
        for each in objects:
            x0, y0, x1, y1 = each.box or (*(each.point or (-1, -1)), width, height)
            assert 0 <= x0 < x1 <= width, (name, each)
            assert 0 <= y0 < y1 <= height, (name, each)
            assert set(each.prompt()) <= {"id", "box", "points", "labels", "multimask"}


def test_an_overlay_tints_the_mask_outlines_it_and_leaves_the_rest(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (100, 100, 100)).save(tmp_path / "gray.png")
    mask = np.zeros((30, 40), dtype=np.bool_)
    mask[10:20, 5:25] = True
    draw(tmp_path / "gray.png", [encode(mask)], tmp_path / "out.png")
    drawn = np.asarray(Image.open(tmp_path / "out.png"))
    assert drawn.shape == (30, 40, 3)
    assert (drawn[~mask] == 100).all()
    assert (drawn[10, 5:25] == drawn[10, 5]).all()
    inside, edge = drawn[15, 15].astype(int), drawn[10, 15].astype(int)
    assert inside[0] > 100 > inside[1]
    assert edge[0] > inside[0]


@pytest.fixture(scope="module")
def demo(passable_folder: Path) -> Path:
    out = passable_folder / "demo-out"
    words = ["--data", str(passable_folder / "demo"), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo", *words],
        cwd=ROOT,
        env={**os.environ, "MASKWORKS_MODELS": "null"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in PHOTOGRAPHS)
    return out


def test_the_demo_draws_every_picture(demo: Path) -> None:
    prompted = [name for name, objects in PHOTOGRAPHS.items() if objects]
    expected = {f"automatic-{Path(name).stem}.png" for name in PHOTOGRAPHS}
    expected |= {f"prompted-{Path(name).stem}.png" for name in prompted}
    assert {path.name for path in demo.glob("*.png")} == expected


@pytest.mark.parametrize("title", ["automatic", "prompted"])
def test_pycocotools_reads_what_the_demo_writes(demo: Path, title: str) -> None:
    file = demo / f"{title}.coco.json"
    coco = COCO(str(file))
    images = json.loads(file.read_text())["images"]
    assert len(images) == len([objects for objects in PHOTOGRAPHS.values() if objects or title == "automatic"])
    assert coco.anns
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"]


def test_a_demo_that_cannot_run_says_why_and_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo", "--data", str(tmp_path / "file/data")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.startswith("The demo failed. ")) == (1, True)
