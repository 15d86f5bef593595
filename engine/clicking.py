"""One object: an annotator clicks, SAM answers, until the mask is accepted or rejected."""

from dataclasses import dataclass
from typing import Any

from engine.annotator import Object
from maskworks import Client
from maskworks.masks import Mask as Answer
from training.clicks import Click, Mask


@dataclass(frozen=True)
class Decided:
    """A mask, what became of it, and how many clicks it took. No mask: it was rejected before the first click."""

    answer: Answer | None
    state: str
    clicks: int


def segmented(client: Client, image: str, asked: Object, model: str | None) -> Decided:
    """The mask before is a prompt beside the clicks. Of three masks the one that SAM is surest of is taken."""
    clicks: list[Click] = []
    answer: Answer | None = None
    found: Mask | None = None
    while isinstance(said := asked.click(found, clicks), Click):
        clicks.append(said)
        answer = _answered(client, image, clicks, answer, model)
        found = answer.to_numpy()
    return Decided(answer, said, len(clicks))


def _answered(client: Client, image: str, clicks: list[Click], before: Answer | None, model: str | None) -> Answer:
    prompt: dict[str, Any] = {
        "points": [[click.x, click.y] for click in clicks],
        "labels": [int(click.foreground) for click in clicks],
        "multimask": len(clicks) == 1,
    }
    if before is not None and before.area > 0:
        prompt["mask"] = rle(before)
    masks = client.segment(image, prompts=[prompt], model=model).masks
    return max(masks, key=lambda mask: mask.predicted_iou)


def rle(mask: Answer) -> dict[str, Any]:
    """The run lengths of a mask, as a request takes them."""
    return {"size": list(mask.segmentation.size), "counts": mask.segmentation.counts}
