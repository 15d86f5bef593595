"""Masks for given prompts, batched across images.

A batch holds prompts with the same number of tokens, because padding changes the result.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.masks import rle
from model.masks.frames import Frame, mask_logits, to_model
from model.masks.mask import Mask
from model.masks.upsample import traced
from model.networks.protocol import Network
from model.spec import Prompt, Prompted
from model.tasks.sight import Sight

PROMPTS_AT_ONCE = 64
STABILITY_OFFSET = 1.0


@dataclass(frozen=True)
class Question:
    """One prompt in model pixels, as host arrays."""

    points: NDArray[np.float32]  # (P, 2)
    labels: NDArray[np.int64]  # (P,)
    box: NDArray[np.float32] | None  # (4,)
    mask: NDArray[np.float32] | None  # (1, low, low)
    three: bool

    @property
    def shape(self) -> tuple[int, bool, bool, bool]:
        """The decoder takes questions of one shape together."""
        return len(self.points), self.box is not None, self.mask is not None, self.three


@dataclass(frozen=True)
class Answered:
    """The masks of one image's prompts, in order: `counts` says how many each prompt has."""

    prompts: tuple[Prompt, ...]
    frame: Frame
    counts: list[int]
    runs: list[rle.Runs]
    iou: NDArray[np.float32]
    stability: NDArray[np.float32]


@dataclass(frozen=True)
class PromptedPlan:
    """The prompts of one image, and the same as questions to the decoder."""

    prompts: tuple[Prompt, ...]
    frame: Frame
    questions: tuple[Question, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        return (self.frame,)


def pre(task: Prompted, sight: Sight) -> PromptedPlan:
    """The plan for an image. Raises ValueError for a task that has not been fitted (`model.tasks.bounds`)."""
    if task.box_format != "xyxy":
        raise ValueError("prompts go through model.tasks.bounds.fit first: boxes are taken as corners here")
    row = sight.row
    frame = sight.frame
    questions = tuple(_question(prompt, frame, row.image_size, row.mask_size) for prompt in task.prompts)
    return PromptedPlan(task.prompts, frame, questions)


def core(sam: Network, plans: list[PromptedPlan], embeddings: list[list[Tensor]]) -> list[Answered]:
    """Decode the prompts of all images together."""
    questions = [list(plan.questions) for plan in plans]
    found = _decode(sam, torch.cat([whole_image for (whole_image,) in embeddings]), questions, PROMPTS_AT_ONCE)
    return [_answered(plan, sam.row.image_size, answers) for plan, answers in zip(plans, found, strict=True)]


def _question(prompt: Prompt, frame: Frame, side: int, low: int) -> Question:
    """A fitted prompt in original pixels, as the decoder takes it."""
    mask = prompt.mask
    if mask is not None and not isinstance(mask, np.ndarray):
        mask = mask_logits(mask, frame, side, low)
    points = to_model(np.asarray(prompt.points, np.float64).reshape(-1, 2), frame)
    box = None if prompt.box is None else to_model(np.asarray(prompt.box).reshape(2, 2), frame).reshape(4)
    return Question(
        points.astype(np.float32),
        np.asarray(prompt.labels, np.int64),
        None if box is None else box.astype(np.float32),
        mask,
        prompt.three_masks,
    )


def _decode(
    sam: Network, embeddings: Tensor, questions: list[list[Question]], step: int
) -> list[list[tuple[Tensor, Tensor]]]:
    """embeddings (B, C, h, w), B lists of questions → logits (M, low, low), iou (M,) of each prompt of each image."""
    places: dict[tuple[int, bool, bool, bool], list[tuple[int, int]]] = defaultdict(list)
    for image, asked in enumerate(questions):
        for i, one in enumerate(asked):
            places[one.shape].append((image, i))
    found: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for group in places.values():
        for at in range(0, len(group), step):
            part = group[at : at + step]
            logits, iou = _decode_alike(sam, embeddings, [questions[b][i] for b, i in part], [b for b, _ in part])
            found.update(zip(part, zip(logits, iou, strict=True), strict=True))
    return [[found[b, i] for i in range(len(asked))] for b, asked in enumerate(questions)]


def _decode_alike(sam: Network, embeddings: Tensor, alike: list[Question], images: list[int]) -> tuple[Tensor, Tensor]:
    """Decode N questions of one shape."""
    device = embeddings.device

    def gathered(arrays: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device)

    boxes = [q.box for q in alike if q.box is not None]
    masks = [q.mask for q in alike if q.mask is not None]
    return sam.decode(
        embeddings,
        torch.tensor(images),
        gathered([q.points for q in alike]),
        torch.from_numpy(np.stack([q.labels for q in alike])).to(device),
        gathered(boxes) if boxes else None,
        gathered(masks) if masks else None,
        alike[0].three,
    )


def _answered(plan: PromptedPlan, side: int, found: list[tuple[Tensor, Tensor]]) -> Answered:
    """Full-size runs and stability of one image's masks."""
    logits = torch.cat([mask for mask, _ in found])
    stability, runs = traced(logits, plan.frame, side, STABILITY_OFFSET)
    iou = torch.cat([i for _, i in found]).cpu().numpy()
    counts = [len(mask) for mask, _ in found]
    return Answered(plan.prompts, plan.frame, counts, runs, iou, stability)


def post(found: Answered) -> list[Mask]:
    """The masks with their measures, prompt by prompt. CPU only."""
    height, width = found.frame.image
    owners = [p for p, n in zip(found.prompts, found.counts, strict=True) for _ in range(n)]
    return [
        Mask(
            rle={"size": [height, width], "counts": counts},
            bbox=rle.runs_bbox(found.runs[i], height),
            area=rle.runs_area(found.runs[i]),
            predicted_iou=float(found.iou[i]),
            stability_score=float(np.nan_to_num(found.stability[i])),
            point_coords=[[float(x), float(y)] for x, y in owner.points] or None,
            crop_box=found.frame.crop_xywh,
            prompt_id=owner.id,
        )
        for i, (owner, counts) in enumerate(zip(owners, rle.compress(found.runs), strict=True))
    ]
