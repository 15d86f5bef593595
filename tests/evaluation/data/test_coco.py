"""COCO, LVIS and SA-1B files give the same masks as the regions from which pycocotools made them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from evaluation.data.picture import Federated, GroundTruthError, Picture
from evaluation.data.table import FORMATS, Place
from tests.evaluation.drawn import disc, save

REGIONS = (disc(40, 12, 14, 8), disc(40, 28, 25, 6))


def rle(mask: np.ndarray) -> dict[str, Any]:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def one(form: str, **place: Any) -> Picture:
    (sample,) = FORMATS[form](Place(**place)).samples
    return sample.read()


def test_every_form_of_coco(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.zeros((40, 40, 3), np.uint8))
    runs = [0, 40 * 20, 40 * 20]
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 3, "segmentation": rle(REGIONS[0]), "area": 5, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "segmentation": {"size": [40, 40], "counts": runs}, "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 4, "segmentation": [[10, 10, 20, 10, 20, 20, 10, 20]]},
    ]
    images = [{"id": 7, "file_name": "a.png", "height": 40, "width": 40}, {"id": 8, "file_name": "without.png"}]
    told = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "a.json").write_text(json.dumps(told))
    found = one("coco", images=tmp_path / "images", ground_truth=tmp_path / "a.json")
    assert (found.name, found.image_id, len(found.regions)) == ("a.png", 7, 3)
    assert np.array_equal(found.regions[0], REGIONS[0])
    assert np.array_equal(found.regions[1], np.arange(40)[None] < np.full((40, 1), 20))
    assert found.regions[2].sum() == 100 and found.regions[2][10:20, 10:20].all()
    assert [(x.category, x.name, x.area, x.crowd) for x in found.labels] == [
        (3, "cat", 5, False), (3, "cat", None, True), (4, "", None, False),
    ]  # fmt: skip


def test_lvis_names_images_by_their_address(tmp_path: Path) -> None:
    save(tmp_path / "val2017" / "9.jpg", np.zeros((40, 40, 3), np.uint8))
    image = {"id": 9, "coco_url": "http://images.example/val2017/9.jpg", "height": 40, "width": 40}
    row = {"id": 1, "image_id": 9, "category_id": 2, "segmentation": rle(REGIONS[0])}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "annotations": [row]}))
    for folder in (tmp_path, tmp_path / "val2017"):
        found = one("lvis", images=folder, ground_truth=tmp_path / "a.json")
        assert found.name == "val2017/9.jpg" and np.array_equal(found.regions[0], REGIONS[0])


@pytest.mark.parametrize("lines", [False, True])
def test_sa1b(tmp_path: Path, lines: bool) -> None:
    save(tmp_path / "sa_1.jpg", np.zeros((40, 40, 3), np.uint8))
    row = {
        "image": {"image_id": 1, "height": 40, "width": 40, "file_name": "sa_1.jpg"},
        "annotations": [{"id": k, "segmentation": rle(r), "area": int(r.sum())} for k, r in enumerate(REGIONS)],
    }
    told = tmp_path / ("all.jsonl" if lines else "sa_1.json")
    told.write_text(json.dumps(row) + '\n{"job": {"id": "x"}}\n' * lines)
    found = one("sa1b", images=tmp_path, ground_truth=told if lines else None)
    assert found.name == "sa_1.jpg" and np.array_equal(found.regions, np.stack(REGIONS))


def test_sa1b_keeps_pictures_of_one_name_apart(tmp_path: Path) -> None:
    rows = [{"image": {"file_name": f"{folder}/1.jpg"}, "annotations": []} for folder in "ab"]
    told = tmp_path / "all.jsonl"
    told.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = FORMATS["sa1b"](Place(images=tmp_path, ground_truth=told)).samples
    assert [sample.name for sample in found] == ["a/1.jpg", "b/1.jpg"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for form in FORMATS:
        with pytest.raises(GroundTruthError, match=str(tmp_path)):
            FORMATS[form](Place(tmp_path / "nothing", tmp_path / "nothing"))


def test_lvis_says_what_was_looked_for(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.png", np.zeros((40, 40, 3), np.uint8))
    whole = {"height": 40, "width": 40}
    images = [
        {"id": 7, "file_name": "a.png", "neg_category_ids": [5], "not_exhaustive_category_ids": [3], **whole},
        {"id": 8, "file_name": "b.png", "neg_category_ids": [3], "not_exhaustive_category_ids": [], **whole},
    ]
    annotations = [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": rle(REGIONS[0])}]
    told = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat", "frequency": "r"}]}
    (tmp_path / "a.json").write_text(json.dumps(told))
    found = one("lvis", images=tmp_path, ground_truth=tmp_path / "a.json")
    assert found.federated == Federated((5,), (3,)) and found.labels[0].frequency == "r"
    samples = FORMATS["lvis"](Place(tmp_path, tmp_path / "a.json", empty=True)).samples
    assert [sample.name for sample in samples] == ["a.png", "b.png"]
    assert len(samples[1].read().regions) == 0 and samples[1].read().federated == Federated((3,), ())
