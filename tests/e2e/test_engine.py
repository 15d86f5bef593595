"""The data engine by the whole service with sam_tiny: three stages over drawn scenes, and training on their masks."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from deploy.local.stack import Stack
from engine.__main__ import main
from engine.annotator import Simulated
from engine.stages import Tally, automatic, semi_automatic
from engine.truth import read_truth
from evaluation.data.sa1b import sa1b
from maskworks import Client, Config, JobUnsuccessful
from model.masks.rle import decode, encode
from tests.conftest import Bucket
from training.clicks import iou
from training.loop import Loop, Plan
from training.scenes import render_scene
from training.store import HELD_OUT_SEED, Store, add_scenes
from training.textures import make_bank

MOST = 4


class Stopped(Exception):
    """As when somebody ends the command."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes as pictures, and two of their objects each in a COCO file."""
    folder, bank = tmp_path_factory.mktemp("scenes"), make_bank(np.random.default_rng(1), tiles=16)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(2):
        scene = render_scene(HELD_OUT_SEED + number, bank)
        Image.fromarray(scene.image).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 448, "width": 448})
        objects = scene.table[scene.leaves, 0]
        sizes = np.bincount(objects.ravel())
        for one in np.argsort(-sizes)[1:3]:
            row = {"id": len(annotations) + 1, "image_id": number, "segmentation": encode(objects == one)}
            annotations.append(row)
    (folder / "truth.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


@pytest.fixture(scope="module")
def client(service: Stack) -> Any:
    config = Config.find(env={"MASKWORKS_STACK": str(service.folder.stack_file), "HOME": "/nowhere"})
    with Client(config=config) as client:
        yield client


@pytest.fixture
def prefix(scenes: Path, pictures: Bucket) -> str:
    for number in range(2):
        uri = pictures.put(f"engine/{number}.png", (scenes / f"{number}.png").read_bytes())
    return uri.removesuffix("1.png")


def test_three_stages_and_training_on_what_they_made(
    service: Stack, client: Client, scenes: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKWORKS_STACK", str(service.folder.stack_file))
    words = ["assisted", prefix, "--truth", str(scenes / "truth.json"), "--target", "0.8", "--most", str(MOST)]
    assert main(words) == 0
    stored = list(client.annotations.list(stage="assisted", image_prefix=prefix))
    truth = read_truth(scenes / "truth.json", prefix)
    assert len(stored) == sum(map(len, truth.values())) == 4
    for one in stored:
        best = max(iou(decoded(one.segmentation), wanted) for wanted in truth[one.image])
        assert (best >= 0.8) if one.state == "accepted" else one.clicks == MOST
        assert one.annotator == "simulated" and 1 <= one.clicks <= MOST
    assert main(words) == 0  # goes on where it ended: nothing is asked again
    assert list(client.annotations.list(stage="assisted", image_prefix=prefix)) == stored

    path = client.annotations.export("coco", tmp_path / "masks.json", image_prefix=prefix)
    with redirect_stdout(io.StringIO()):
        coco = COCO(path)
    assert len(coco.anns) == sum(one.state == "accepted" for one in stored) > 0

    annotator = Simulated(truth, 0.8, MOST)
    told: list[str] = []
    loose = {"type": "auto", "points_per_side": 6, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}

    def stop(image: str, _: Tally) -> None:
        told.append(image)
        raise Stopped

    with pytest.raises(Stopped):  # after the first image
        semi_automatic(client, prefix, sorted(truth), annotator, stop, task=loose)
    first = list(client.annotations.list(stage="semi_automatic"))
    tally = semi_automatic(client, prefix, sorted(truth), annotator, lambda image, _: told.append(image), task=loose)
    assert told == sorted(truth) and tally.images == 1
    filled = [one for one in client.annotations.list(stage="semi_automatic") if one.source is not None]
    assert len(filled) == tally.filled + sum(one.source is not None for one in first) > 0
    assert all(one.clicks == 0 for one in filled)
    assert len({(one.image, one.segmentation.counts) for one in filled}) == len(filled)
    both = list(client.annotations.list(stage="semi_automatic"))
    assert {one.image for one in both} == set(truth)
    again = semi_automatic(client, prefix, sorted(truth), annotator, lambda *_: None, task=loose)
    assert again.images == 0 and list(client.annotations.list(stage="semi_automatic")) == both

    with pytest.raises(JobUnsuccessful, match="INPUT_EMPTY"):
        automatic(client, f"{prefix}none/", tmp_path / "shards", task=loose)
    automatic(client, prefix, tmp_path / "shards", task=loose)
    (shard,) = (tmp_path / "shards").glob("*.jsonl")
    read = [sample.read() for sample in sa1b(scenes, renamed(shard), 0.0).samples]
    assert len(read) == 2 and all(len(picture.regions) for picture in read)

    folder = tmp_path / "training"
    assert main(["examples", "--images", str(scenes), "--ground-truth", str(path), "--folder", str(folder)]) == 0
    assert main(["examples", "--images", str(scenes), "--ground-truth", str(path), "--folder", str(folder)]) == 0
    made = Store(folder / "annotated")  # a second time adds nothing
    assert len(made) == len(coco.imgs)
    wanted = {one.area for one in stored if one.state == "accepted" and one.image.endswith(coco.imgs[1]["file_name"])}
    areas = np.bincount(made[0].table[made[0].leaves, 0].ravel())[1:]
    assert max(areas) in wanted  # the largest object is on top of nothing
    add_scenes(folder / "scenes", [made[0]])
    loop = Loop(Plan("sam_tiny", folder, minutes=60, images=1, prompts=4, start="bundled"), rank=0, world=1)
    assert np.isfinite(loop.advance()[0]["masks"])


def decoded(rle: Any) -> Any:
    return decode({"size": list(rle.size), "counts": rle.counts})


def renamed(shard: Path) -> Path:
    """The pictures lie in one folder here, not below their prefix."""
    text = shard.read_text().replace('"file_name":"engine/', '"file_name":"')
    shard.write_text(text)
    return shard
