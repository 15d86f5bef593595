"""The segmenter: prompts against the networks one by one, batching, embeddings, degenerate inputs, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.backends.sam import Segmenter
from model.embeddings.embedding import Embedding
from model.errors import ModelError, PromptOutOfBounds, UnknownModel
from model.masks import rle
from model.masks.frames import whole
from model.spec import Automatic, Box, BoxFormat, Prompt, Prompted, Task
from model.tasks.prompted import PromptedPlan
from tests.model.photographs import blobs, photograph

IMAGE = photograph("coffee.png", 200)
HEIGHT, WIDTH = IMAGE.shape[:2]
FEW = Automatic(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.3)
PROMPTS = Prompted(
    (
        Prompt(id="point", points=((50, 60),), labels=(1,)),
        Prompt(id="single", points=((50, 60),), labels=(1,), multimask=False),
        Prompt(id="two", points=((50, 60), (90, 20)), labels=(1, 0)),
        Prompt(id="box", box=(10, 20, 150, 100)),
        Prompt(id="both", points=((50, 60),), labels=(1,), box=(10, 20, 150, 100), multimask=True),
        Prompt(id="mask", mask=rle.encode(np.eye(HEIGHT, WIDTH, dtype=bool))),
        Prompt(id="edge", points=((WIDTH, HEIGHT),), labels=(1,)),
        Prompt(id="flat", box=(20, 20, 20, 20)),
    )
)


def plainly(prompt: Prompt) -> list[np.ndarray]:
    """One prompt alone through the networks, at full size."""
    s = blobs()
    view = s.pre(IMAGE, Prompted((prompt,))).views[0]
    sx, sy = view.frame.resized[1] / WIDTH, view.frame.resized[0] / HEIGHT
    points = torch.tensor([[(x * sx, y * sy) for x, y in prompt.points]]).reshape(1, -1, 2)
    labels = torch.tensor([prompt.labels], dtype=torch.int64)
    box = prompt.box and torch.tensor(
        [[prompt.box[0] * sx, prompt.box[1] * sy, prompt.box[2] * sx, prompt.box[3] * sy]]
    )
    mask = None
    if prompt.mask is not None:
        plan = s.pre(IMAGE, Prompted((prompt,))).plan
        assert isinstance(plan, PromptedPlan)
        (question,) = plan.questions
        assert question.mask is not None
        mask = torch.from_numpy(question.mask)[None]
    side = s.sam.row.image_size
    with torch.inference_mode():
        image = s.embed(IMAGE).tensor
        logits, _ = s.sam.decode(
            image, torch.zeros(1, dtype=torch.int64), points, labels, box, mask, prompt.three_masks
        )
        big = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
        tall, wide = view.frame.resized
        full = F.interpolate(big[..., :tall, :wide], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    return [m.numpy() > 0 for m in full[0]]


def test_prompts_equal_one_by_one() -> None:
    (masks,) = blobs().run([IMAGE], [PROMPTS])
    expected = [(p.id, m) for p in PROMPTS.prompts for m in plainly(p)]
    assert [m.prompt_id for m in masks] == [i for i, _ in expected]
    assert [i for i, _ in expected] == ["point"] * 3 + ["single", "two", "box"] + ["both"] * 3 + [
        "mask",
        *["edge"] * 3,
        "flat",
    ]
    for mask, (_, pixels) in zip(masks, expected, strict=True):
        found = rle.decode(mask.rle)
        assert (found != pixels).sum() <= 2, mask.prompt_id
        assert (mask.area, mask.bbox) == (rle.area(mask.rle), rle.bbox(mask.rle))
        assert mask.crop_box == [0, 0, WIDTH, HEIGHT]
    assert masks[0].point_coords == [[50.0, 60.0]] and masks[5].point_coords is None


def test_batches_equal_single_images() -> None:
    """Images of one batch differ in size, and prompts in their number of points."""
    images = [IMAGE, photograph("astronaut.png", 150), photograph("page.png", 130), IMAGE[:50]]
    points = Prompted((Prompt(points=((5, 6),), labels=(1,)), Prompt(points=((9, 9), (3, 4)), labels=(1, 0))))
    tasks: list[Task] = [FEW, points, FEW, points]
    s = blobs()
    together = [s.post(r) for r in s.core([s.pre(i, t) for i, t in zip(images, tasks, strict=True)])]
    for image, task, masks in zip(images, tasks, together, strict=True):
        alone = s.run([image], [task])[0]
        assert len(alone) == len(masks)
        for a, b in zip(alone, masks, strict=True):
            x, y = rle.decode(a.rle), rle.decode(b.rle)
            assert x.shape == image.shape[:2]
            assert (x != y).sum() <= 0.0001 * max((x | y).sum(), 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 5)])
def test_degenerate_images(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    automatic, prompted = blobs().run([image] * 2, [FEW, Prompted((Prompt(points=((0, 0),), labels=(1,)),))])
    assert all(m.rle["size"] == list(size) for m in automatic + prompted)
    assert len({m.rle["counts"] for m in automatic}) == len(automatic) and all(m.area for m in automatic)
    assert len(prompted) == 3


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_foreign_arrays(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        blobs().pre(image, FEW)


def test_prompts_that_cannot_be_answered_are_named() -> None:
    fine, far = Prompt(box=(0, 0, 9, 9)), Prompt(id="far", points=((WIDTH + 1, 0),), labels=(1,))
    with pytest.raises(PromptOutOfBounds, match="'far'"):
        blobs().run([IMAGE], [Prompted((fine, far))])
    with pytest.raises(PromptOutOfBounds, match="'far'"):
        blobs().run_embedded(blobs().embed(IMAGE), Prompted((far,)))


def test_boxes_of_detectors() -> None:
    """A box that reaches out of the image gives the masks of the clipped box, in either format."""
    (expected,) = blobs().run([IMAGE], [Prompted((Prompt(box=(0, 10, WIDTH, 100)),))])
    cases: list[tuple[Box, BoxFormat]] = [
        ((-0.3, 10, WIDTH + 0.6, 100), "xyxy"),
        ((-0.5, 10, WIDTH + 1, 90), "xywh"),
    ]
    for box, box_format in cases:
        assert blobs().run([IMAGE], [Prompted((Prompt(box=box),), box_format=box_format)]) == [expected]
    with pytest.raises(ValueError, match="go through"):
        blobs().pre(IMAGE, Prompted((Prompt(box=(0, 0, 9, 9)),), box_format="xywh"))


def test_logits_prompt() -> None:
    low = blobs().sam.row.mask_size
    task = Prompted((Prompt(mask=np.full((1, low, low), 3.0)),))
    assert len(blobs().run([IMAGE], [task])[0]) == 1
    with pytest.raises(ValueError, match="logits"):
        blobs().run([IMAGE], [Prompted((Prompt(mask=np.zeros((1, 7, 7), np.float32)),))])


def test_not_a_number_gives_no_masks() -> None:
    s = Segmenter.seeded("sam_tiny")
    last = s.sam.mask_decoder.iou_prediction_head.layers[2]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.fill_(torch.nan)
    assert s.run([IMAGE], [Automatic(points_per_side=2)]) == [[]]
    assert s.run([IMAGE], [Automatic(points_per_side=2, pred_iou_thresh=0.5)]) == [[]]


def test_embedding_saved_and_loaded(tmp_path: Path) -> None:
    s = blobs()
    s.embed(IMAGE).save(tmp_path / "e.safetensors")
    embedding = Embedding.load(tmp_path / "e.safetensors")
    assert embedding.frame == whole(HEIGHT, WIDTH, 256)
    assert s.run_embedded(embedding, FEW) == s.run([IMAGE], [FEW])[0]
    assert s.run_embedded(embedding, PROMPTS) == s.run([IMAGE], [PROMPTS])[0]
    with pytest.raises(ModelError, match="crops"):
        s.run_embedded(embedding, Automatic(crop_n_layers=1))
    with pytest.raises(ModelError, match="not of"):
        Segmenter.seeded("sam_tiny", seed=5).run_embedded(embedding, FEW)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ModelError, match="junk"):
        Embedding.load(tmp_path / "junk")


def test_the_encoder_runs_once_per_content(monkeypatch: pytest.MonkeyPatch) -> None:
    s = Segmenter.seeded("sam_tiny")
    batches: list[int] = []
    encode = s.sam.encode

    def counted(pixels: torch.Tensor) -> torch.Tensor:
        batches.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(s.sam, "encode", counted)
    point = Prompted((Prompt(points=((5, 5),), labels=(1,)),))
    s.run([IMAGE, IMAGE.copy()], [FEW, point])
    s.run([IMAGE], [point])
    assert batches == [1]
    s.run([IMAGE[::-1].copy(), IMAGE], [point, point])
    assert batches == [1, 1]


def test_names() -> None:
    s = Segmenter.seeded("sam_tiny", seed=3)
    assert (s.name, s.revision, s.precision, s.device) == ("sam_tiny", "seed-3", "exact", "cpu")
    assert "mask_decoder.iou_token.weight" in s.state_dict()
    with pytest.raises(UnknownModel):
        Segmenter.seeded("sam_vit_z")
    with pytest.raises(ModelError, match="precision"):
        Segmenter.seeded("sam_tiny", precision="sloppy")
    s.warm()
