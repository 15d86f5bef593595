"""Networks of transformers give the masks that transformers gives, by our steps and our generator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.backends.hub import HubSegmenter
from model.errors import CheckpointError, TaskNotServed, UnknownModel
from model.load import load
from model.masks import rle
from model.protocol import Options
from model.spec import Automatic, Embed, Prompt, Prompted, Text
from model.words.protocol import DETECTOR, Found
from tests.model.hub import networks, reference
from tests.model.same_masks import assert_same

HEIGHT, WIDTH = 96, 150
_PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
IMAGE = np.kron(_PIXELS, np.ones((8, 8, 1), np.uint8))[:HEIGHT, :WIDTH]
OTHER = np.ascontiguousarray(IMAGE[::-1, ::-1][:80])
EVERYTHING: Mapping[str, Any] = {
    "points_per_side": 5, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.5, "stability_score_offset": 0.1,
    "box_nms_thresh": 1.0,
}  # fmt: skip
"""Filters that random networks pass in part. Their masks fill the image, so suppression would leave one."""


@dataclass
class Hub:
    """A family's network, and a segmenter that has read it from its folder."""

    family: str
    network: Any
    folder: Path
    segmenter: HubSegmenter

    @property
    def side(self) -> int:
        return networks.SIDE[self.family]


@pytest.fixture(scope="module", params=networks.FAMILIES)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    folder = tmp_path_factory.mktemp(request.param)
    network = networks.save(request.param, folder)
    segmenter = load(f"hf:test/{request.param}", Options(checkpoint=folder))
    assert isinstance(segmenter, HubSegmenter)
    return Hub(request.param, network, folder, segmenter)


def logits_of(hub: Hub) -> np.ndarray:
    low = hub.segmenter.sam.row.mask_size
    return np.random.default_rng(1).normal(0, 8, (1, low, low)).astype(np.float32)


def prompts_for(hub: Hub) -> list[Prompt]:
    """Points, several of them, boxes, masks, and mixes; one mask and three."""
    mask, box = logits_of(hub), (10.0, 12.0, 80.0, 70.0)
    return [
        Prompt(points=((30, 40),), labels=(1,)),
        Prompt(points=((60.5, 20),), labels=(1,), multimask=False),
        Prompt(points=((30, 40), (150, 96), (70, 50)), labels=(1, 0, 1)),
        Prompt(box=box),
        Prompt(box=box, multimask=True),
        Prompt(points=((30, 40), (50, 60)), labels=(0, 1), box=box),
        Prompt(mask=mask),
        Prompt(points=((30, 40),), labels=(1,), mask=mask, multimask=True),
    ]


def test_prompts_give_the_masks_of_transformers(hub: Hub) -> None:
    prompts = prompts_for(hub)
    (found,) = hub.segmenter.run([IMAGE], [Prompted(tuple(prompts))])
    reference.assert_answers(found, reference.prompted(hub.network, hub.family, hub.side, IMAGE, prompts))
    assert [mask.prompt_id for mask in found] == [
        str(i) for i, n in enumerate((3, 1, 1, 1, 3, 1, 1, 3)) for _ in range(n)
    ]


def test_prompts_of_one_shape_and_several_images_are_decoded_together(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    real = hub.segmenter.sam.network.forward

    def counted(**given: Any) -> Any:
        calls.append(tuple(given["input_points"].shape))
        return real(**given)

    monkeypatch.setattr(hub.segmenter.sam.network, "forward", counted)
    some = [Prompt(points=((x, 40),), labels=(1,)) for x in (10, 60, 110)]
    tasks = [Prompted(tuple(some)), Prompted(tuple(some))]
    together = hub.segmenter.run([IMAGE, OTHER], tasks)
    assert calls == [(2, 3, 1, 2)]
    uneven = hub.segmenter.run([IMAGE, OTHER], [tasks[0], Prompted(tuple(some[:2]))])
    assert calls[1:] == [(1, 3, 1, 2), (1, 2, 1, 2)]
    for image, masks in zip((IMAGE, OTHER), together, strict=True):
        reference.assert_answers(masks, reference.alike(hub.network, hub.family, hub.side, image, some))
    assert [mask.area for mask in uneven[1]] == [mask.area for mask in together[1][:6]]


def test_automatic_masks_are_those_of_the_plain_generator(hub: Hub) -> None:
    (found,) = hub.segmenter.run([IMAGE], [Automatic(**EVERYTHING)])
    expected = reference.automatic(hub.network, hub.family, hub.side, IMAGE, EVERYTHING)
    assert len(expected) > 5
    assert_same(found, expected)


def test_crops_are_encoded_by_themselves(hub: Hub) -> None:
    image = np.ascontiguousarray(IMAGE[:30, :40])  # so small that the inner edges of crops lie near the image's
    task = {**EVERYTHING, "points_per_side": 4, "crop_n_layers": 1, "crop_nms_thresh": 1.0}
    (found,) = hub.segmenter.run([image], [Automatic(**task, crop_n_points_downscale_factor=2)])
    expected = reference.automatic(hub.network, hub.family, hub.side, image, task)
    assert len({tuple(one.crop) for one in expected}) > 2
    assert_same(found, expected)


class Boxes:
    """A model for text that finds two boxes in every image."""

    kind, name, revision, takes_exemplars = DETECTOR, "boxes", "b1", False
    defaults: Mapping[str, float] = {"box_threshold": 0.2, "nms_threshold": 0.9}

    def look(self, _image: Any, phrases: Any) -> int:
        return len(phrases)

    def detect(self, seen: list[Any]) -> list[Found]:
        boxes = np.asarray([[10, 12, 80, 70], [60, 20, 140, 90]], np.float64)
        return [Found(boxes, np.asarray([[0.5], [0.75]], np.float32)) for _ in seen]


def test_text_becomes_boxes_for_any_network(hub: Hub) -> None:
    segmenter = load(hub.segmenter.name, Options(checkpoint=hub.folder, words=Boxes()))
    assert isinstance(segmenter, HubSegmenter) and segmenter.tasks == ("auto", "prompted", "text")
    boxes = Prompted((Prompt(box=(60.0, 20.0, 140.0, 90.0)), Prompt(box=(10.0, 12.0, 80.0, 70.0))))
    found, asked = segmenter.run([IMAGE, IMAGE], [Text(("a cat",)), boxes])
    assert [(mask.phrase, mask.score) for mask in found] == [("a cat", 0.75), ("a cat", 0.5)]
    assert [mask.rle for mask in found] == [mask.rle for mask in asked]


def test_an_image_is_encoded_once(hub: Hub) -> None:
    cache = hub.segmenter.encoder.cache
    hub.segmenter.run([OTHER], [Prompted((Prompt(box=(1, 1, 40, 40)),))])
    hits = cache.hits
    kept = hub.segmenter.embed(OTHER)
    assert cache.hits == hits + 1
    task = Prompted((Prompt(points=((5, 5),), labels=(1,)),))
    assert hub.segmenter.run_embedded(kept, task) == hub.segmenter.run([OTHER], [task])[0]
    kept.save(hub.folder / "kept.emb")
    assert type(kept).load(hub.folder / "kept.emb").frame == kept.frame


def test_an_embedding_of_several_maps_is_not_given_away(hub: Hub) -> None:
    """Clients could not decode it: they are told one shape."""
    if hub.family == "sam":
        prepared = hub.segmenter.pre(IMAGE, Embed())
        assert hub.segmenter.post_embedding(hub.segmenter.core([prepared])[0]).shape == (32, 8, 8)
    else:
        with pytest.raises(TaskNotServed, match="several maps"):
            hub.segmenter.pre(IMAGE, Embed())


def test_fast_computes_the_encoder_in_bfloat16(hub: Hub) -> None:
    fast = load(hub.segmenter.name, Options(checkpoint=hub.folder, precision="fast", bfloat16=True))
    assert isinstance(fast, HubSegmenter) and fast.revision == hub.segmenter.revision
    rough, exact = fast.embed(IMAGE).tensor, hub.segmenter.embed(IMAGE).tensor
    assert rough.dtype == torch.bfloat16 and exact.dtype == torch.float32
    assert 0.99 < torch.cosine_similarity(rough.float().flatten(), exact.flatten(), 0) < 1
    assert next(fast.sam.network.mask_decoder.parameters()).dtype == torch.float32
    assert fast.run([IMAGE], [Prompted((Prompt(box=(10, 10, 90, 80)),))])[0][0].area


def test_the_filters_are_those_of_the_pipeline_of_transformers(hub: Hub) -> None:
    if hub.family not in ("sam", "sam_hq"):
        pytest.skip("its processor needs torchvision")
    expected = reference.pipeline(hub.network, hub.family, hub.side, IMAGE, EVERYTHING)
    (found,) = hub.segmenter.run([IMAGE], [Automatic(**EVERYTHING)])
    assert {mask.tobytes() for mask in expected} == {rle.decode(mask.rle).astype(bool).tobytes() for mask in found}


def test_what_cannot_be_loaded_says_what_to_do(tmp_path: Path) -> None:
    def refused(match: str, checkpoint: Path | str) -> None:
        with pytest.raises(CheckpointError, match=match):
            load("hf:some/model", Options(checkpoint=checkpoint))

    refused("no folder .*MASKWORKS_CHECKPOINTS", tmp_path / "absent")
    refused("no folder s3:", "s3://bucket/model")
    refused("no config.json", tmp_path)
    networks.save("sam", tmp_path / "size", side=256)
    refused(
        "its processor takes images of 256 pixels, and the prompt encoder of hf:some/model images of 128",
        tmp_path / "size",
    )
    folder = tmp_path / "sam"
    network = networks.save("sam", folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    refused("cannot be loaded", folder)
    from safetensors.torch import save_file

    state = {name: tensor.clone() for name, tensor in network.state_dict().items() if "iou_token" not in name}
    save_file(state, weights, {"format": "pt"})
    refused("lack 1 tensors: mask_decoder.iou_token.weight", folder)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    weights.unlink()
    refused("no .safetensors file", folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    weights.write_bytes(content)
    refused("is a bert, which takes no points and boxes; those that do are sam, sam_hq, sam2", folder)
    (folder / "config.json").write_text('{"model_type": "edgetam"}')
    refused("requires the timm library", folder)


@pytest.mark.parametrize(
    "name", ["hf:", "hf:/etc/passwd", "hf:../up", "hf:a/b/c", "hf:a b", "hf:a/b.text", "hf:a/b.v2"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UnknownModel, match="hf:owner/name"):
        load(name)
