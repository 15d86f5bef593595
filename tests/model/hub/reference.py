"""What transformers makes of an image and prompts, by its own processors and models.

The processors of SAM 2 and SAM 3 need torchvision, whose wheel needs a CUDA build of torch. For them the few lines of
the processor are restated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SamHQProcessor, SamProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from model.masks import rle
from model.masks.mask import Mask
from model.spec import Prompt
from tests.model import plain

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_MEANS = {"sam2": _IMAGENET, "edgetam": _IMAGENET, "sam3_tracker": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}
ROUNDING = 1e-5
"""Two ways to interpolate give logits that differ by less, so a pixel nearer to the threshold may fall either side."""


@dataclass
class Answer:
    """The masks of one prompt: logits at the image's size (M, H, W), and predicted IoU (M,)."""

    logits: np.ndarray
    iou: np.ndarray


def processor(family: str, side: int) -> Any:
    """The processor of transformers, of the families that have one without torchvision."""
    images = SamImageProcessorPil(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    kind: Any = {"sam": SamProcessor, "sam_hq": SamHQProcessor}[family]
    return kind(images)


def prompted(network: Any, family: str, side: int, image: np.ndarray, prompts: Sequence[Prompt]) -> list[Answer]:
    """Each prompt by itself."""
    return [one for prompt in prompts for one in alike(network, family, side, image, [prompt])]


def alike(network: Any, family: str, side: int, image: np.ndarray, prompts: Sequence[Prompt]) -> list[Answer]:
    """Prompts of one shape in one call."""
    points = [[list(point) for point in prompt.points] for prompt in prompts]
    boxes = [list(prompt.box) for prompt in prompts if prompt.box is not None]
    given: dict[str, Any] = {
        "input_points": [points] if points[0] else None,
        "input_labels": [[list(prompt.labels) for prompt in prompts]] if points[0] else None,
        "input_boxes": [boxes] if boxes else None,
    }
    inputs, full = (_padded if family in ("sam", "sam_hq") else _stretched)(family, side, image, given)
    mask = prompts[0].mask
    if isinstance(mask, np.ndarray):
        inputs["input_masks"] = torch.from_numpy(mask)[None]
    with torch.inference_mode():
        out = network(**inputs, multimask_output=prompts[0].three_masks)
    logits = full(out.pred_masks)
    return [Answer(each.numpy(), iou.numpy()) for each, iou in zip(logits, out.iou_scores[0], strict=True)]


def _padded(family: str, side: int, image: np.ndarray, given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    process = processor(family, side)
    inputs = dict(process(images=image, return_tensors="pt", **given))
    sizes, resized = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    floats = {name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}
    return floats, lambda low: process.post_process_masks(low, sizes, resized, binarize=False)[0]


def _stretched(family: str, side: int, image: np.ndarray, given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """`Sam2Processor`: torchvision's resize, one factor for mean, deviation and scale, coordinates by the axis."""
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    small = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v).view(3, 1, 1) * 255 for v in _MEANS[family])
    inputs: dict[str, Any] = {"pixel_values": (small.float() - mean) / std}
    scale = torch.tensor([side / width, side / height])
    if given["input_points"]:
        inputs["input_points"] = torch.tensor(given["input_points"], dtype=torch.float32) * scale
        inputs["input_labels"] = torch.tensor(given["input_labels"])
    if given["input_boxes"]:
        inputs["input_boxes"] = torch.tensor(given["input_boxes"], dtype=torch.float32) * scale.repeat(2)
    return inputs, lambda low: F.interpolate(low[0], (height, width), mode="bilinear", align_corners=False)


def automatic(network: Any, family: str, side: int, image: np.ndarray, p: Mapping[str, Any]) -> list[plain.Plain]:
    """The grid, the filters and the suppression, restated plainly, for the image and its crops."""
    height, width = image.shape[:2]
    found: list[plain.Plain] = []
    for crop, layer in plain.crop_boxes(height, width, p.get("crop_n_layers", 0), 512 / 1500):
        made = _of_crop(network, family, side, image, crop, p["points_per_side"] // 2**layer, p)
        found += plain.suppress(made, [one.iou for one in made], p["box_nms_thresh"])
    areas = [(f.crop[2] - f.crop[0]) * (f.crop[3] - f.crop[1]) for f in found]
    kept = plain.suppress(found, [1 / area for area in areas], p.get("crop_nms_thresh", 1.0))
    different: dict[bytes, plain.Plain] = {}
    for one in sorted(kept, key=lambda one: -one.iou):
        different.setdefault(one.mask.tobytes(), one)
    return list(different.values())


def _of_crop(
    network: Any, family: str, side: int, image: np.ndarray, crop: list[int], n: int, p: Mapping[str, Any]
) -> list[plain.Plain]:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = crop
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    grid = [((i + 0.5) / n * (x1 - x0), (j + 0.5) / n * (y1 - y0)) for j in range(n) for i in range(n)]
    found = []
    answers = alike(network, family, side, part, [Prompt(points=(point,), labels=(1,)) for point in grid])
    for (x, y), answer in zip(grid, answers, strict=True):
        for logits, iou in zip(answer.logits, answer.iou, strict=True):
            offset, mask = p["stability_score_offset"], np.zeros((height, width), np.bool_)
            mask[y0:y1, x0:x1] = logits > 0
            stability = (logits > offset).sum() / max((logits > -offset).sum(), 1)
            if iou > p["pred_iou_thresh"] and stability >= p["stability_score_thresh"] and mask.any():
                box = plain.box_of(mask)
                if not plain.near_inner_edge(box, crop, height, width):
                    found.append(plain.Plain(mask, box, float(iou), stability, [x + x0, y + y0], crop))
    return found


def pipeline(network: Any, family: str, side: int, image: np.ndarray, p: Mapping[str, Any]) -> list[np.ndarray]:
    """The masks of `MaskGenerationPipeline` by the functions that it is made of, best first, before suppression."""
    process = processor(family, side).image_processor
    boxes, points, crops, labels = process.generate_crop_boxes(image, side, points_per_crop=p["points_per_side"])
    inputs = process(images=crops, return_tensors="pt")
    with torch.inference_mode():
        out = network(
            pixel_values=inputs["pixel_values"], input_points=points.squeeze(2)[:, :, None], input_labels=labels
        )
    sizes = inputs["original_sizes"].tolist()
    resized = inputs["reshaped_input_sizes"].tolist()
    full = process.post_process_masks(out.pred_masks, sizes, resized, binarize=False)
    names = ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset")
    found, iou, _ = process.filter_masks(
        full[0], out.iou_scores[0], sizes[0], boxes[0], **{name: p[name] for name in names}
    )
    order = torch.argsort(-iou, stable=True).tolist()
    return [_decoded(found[i]) for i in order]


def _decoded(runs: Mapping[str, Any]) -> np.ndarray:
    height, width = runs["size"]
    flat = np.repeat(np.arange(len(runs["counts"])) % 2 == 1, runs["counts"])
    return flat.reshape(width, height).T


def assert_answers(found: Sequence[Mask], expected: Sequence[Answer]) -> None:
    """Every mask of every prompt, in order. Only pixels on the threshold may differ."""
    logits = np.concatenate([answer.logits for answer in expected])
    iou = np.concatenate([answer.iou for answer in expected])
    assert len(found) == len(logits)
    for mask, own, score in zip(found, logits, iou, strict=True):
        pixels = rle.decode(mask.rle).astype(bool)
        assert np.abs(own[pixels != (own > 0)]).max(initial=0) < ROUNDING
        assert abs(mask.predicted_iou - score) < ROUNDING
