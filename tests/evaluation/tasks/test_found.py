"""Proposals, instances and text on a synthetic COCO set: masks as the service makes them, figures by pycocotools."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from evaluation.data.picture import GroundTruthError, Label, Picture
from evaluation.data.table import FORMATS, Place
from evaluation.synthetic import CATEGORIES, write
from evaluation.task import Subject
from evaluation.tasks.instances import Boxes, Instances, clipped
from evaluation.tasks.proposals import Proposals
from evaluation.tasks.text import Phrases
from model.backends.sam import Segmenter
from model.errors import ModelError
from model.masks.frames import Pixels
from model.masks.rle import decode
from model.spec import Prompt, Prompted
from model.words.protocol import DETECTOR, Found
from training.textures import make_bank

ALL = np.zeros(1, np.int64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    write(out, 1, make_bank(np.random.default_rng(1), tiles=4))
    return out


@pytest.fixture(scope="module")
def picture(folder: Path) -> Picture:
    (sample,) = FORMATS["coco"](Place(folder / "images", folder / "instances.json")).samples
    return sample.read()


def test_proposals_are_ranked_and_cut(segmenter: Segmenter, picture: Picture) -> None:
    subject = Subject(segmenter, {"points_per_side": 8})
    many = Proposals().measure(subject, picture)
    few = Proposals(most=3).measure(subject, picture)
    assert many["masks"] == few["masks"] > 20
    figures = Proposals().tally([many])(ALL)
    assert figures["regions"] == len(picture.regions)
    assert 0.03 < figures["AR@1000 all"] < 0.9
    assert Proposals(most=3).tally([few])(ALL)["AR@3 all"] < figures["AR@1000 all"]
    assert len(Proposals().cases(picture, many)) == 1


def test_instances_are_the_masks_of_the_boxes_fed_back_once(
    segmenter: Segmenter, picture: Picture, folder: Path
) -> None:
    task = Instances(Boxes.read(folder / "boxes.json"), most=5)
    record = task.measure(Subject(segmenter), picture)
    rows = sorted(json.loads((folder / "boxes.json").read_text()), key=lambda row: -row["score"])[:5]
    assert [(r["score"], r["category_id"]) for r in record["found"]] == [(r["score"], r["category_id"]) for r in rows]
    box = clipped(rows[0]["bbox"], *picture.image.shape[:2])
    assert box is not None
    (once,) = segmenter.run([picture.image], [Prompted((Prompt(box=box),))])[0]
    first = decode(once.rle)
    again = decode(record["found"][0]["segmentation"])
    assert (first & again).sum() / (first | again).sum() > 0.5
    whole = Instances(Boxes.read(folder / "boxes.json"))
    figures = whole.tally([whole.measure(Subject(segmenter), picture)])(ALL)
    assert 0.02 < figures["AP"] < 0.8 and figures["AP50"] > figures["AP75"]
    assert clipped([-5, 3, 4, 4], 10, 10) is None and clipped([8, 8, 9, 9], 10, 10) == (8, 8, 10, 10)


class Seen:
    """A detector with hand-set boxes: for the first phrase the first region's, for others none."""

    kind, name, revision, takes_exemplars = DETECTOR, "hand", "1", False
    defaults = MappingProxyType({"box_threshold": 0.3, "nms_threshold": 0.7})

    def __init__(self, box: Sequence[float]) -> None:
        self.box = box

    def look(self, image: Pixels, phrases: Sequence[str]) -> Any:
        assert image.ndim == 3
        return len(phrases)

    def detect(self, seen: list[Any]) -> list[Found]:
        scores = [np.eye(1, phrases, dtype=np.float32) * 0.8 for phrases in seen]
        return [Found(np.array([self.box], np.float64), score) for score in scores]


def test_phrases_are_the_names_of_categories(segmenter: Segmenter, picture: Picture) -> None:
    y, x = np.nonzero(picture.regions[0])
    box = x.min(), y.min(), x.max() + 1, y.max() + 1
    (mask,) = segmenter.run([picture.image], [Prompted((Prompt(box=box),))])[0]
    words = Segmenter(segmenter.sam, segmenter.revision, "cpu", "exact", words=Seen(box))
    record = Phrases(also=("a dog",)).measure(Subject(words), picture)
    assert [p["phrase"] for p in record["phrases"]] == list(CATEGORIES)
    assert record["phrases"][0]["found"] == mask.rle
    figures = Phrases().tally([record])(ALL)
    things = picture.regions[[label.name == "thing" for label in picture.labels]].any(0)
    first = decode(mask.rle)
    expected = (first & things).sum() / (first | things).sum()
    assert figures["mIoU"] == pytest.approx(expected / 2)
    assert figures["phrases"] == 2 and Phrases().worth(record)[1] == 0
    first_region = (first & picture.regions[0]).sum() / (first | picture.regions[0]).sum()
    assert record["phrases"][0]["first"] >= first_region > 0 and record["phrases"][1]["first"] == 0
    assert figures["R@1"] == np.mean([p["first"] >= 0.5 for p in record["phrases"]]) and figures["own@1"] == 1
    assert figures["AP"] >= 0
    with pytest.raises(ModelError, match="text="):
        Phrases().measure(Subject(segmenter), picture)
    with pytest.raises(GroundTruthError, match="names of categories"):
        Phrases().measure(Subject(words), Picture("a", picture.image, picture.regions[:1], labels=(Label(),)))
