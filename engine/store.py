"""What was decided about an image's objects, as annotations under ids that a second run gives again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from engine.annotator import Annotator
from engine.clicking import Decided, rle
from maskworks import Client
from maskworks.records import Result


def annotated(client: Client, prefix: str, stage: str, name: str | None = None) -> frozenset[str]:
    """Images that this annotator, or without a name anybody, has finished: a run that was stopped leaves them out."""
    found = client.annotations.list(stage=stage, image_prefix=prefix)
    return frozenset(one.image for one in found if name in (None, one.annotator))


def decisions(image: str, stage: str, annotator: Annotator, decided: Sequence[Decided]) -> Iterator[Mapping[str, Any]]:
    """An object without a mask leaves nothing."""
    for number, one in enumerate(decided):
        if one.answer is not None and one.answer.area > 0:
            made = {"stage": stage, "annotator": annotator.name, "state": one.state, "clicks": one.clicks}
            key = uuid5(NAMESPACE_URL, f"{image} {stage} {annotator.name} {number}").hex
            yield {"id": key, "image": image, "segmentation": rle(one.answer), **made}


def confident(result: Result, job_id: str, chosen: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    """Masks of a job that nobody was asked about."""
    for number in chosen:
        mask = result.masks[number]
        source = {"job_id": job_id, "item_index": result.index, "mask_id": mask.id}
        made = {"stage": "semi_automatic", "annotator": result.model or "model", "state": "accepted", "clicks": 0}
        key = uuid5(NAMESPACE_URL, f"{result.image} semi_automatic {mask.segmentation.counts}").hex  # of any job
        yield {"id": key, "image": result.image, "segmentation": rle(mask), "source": source, **made}
