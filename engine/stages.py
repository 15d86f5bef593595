"""The three stages over images in a bucket. Each gives its tally, and tells of each image that is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.annotator import Annotator
from engine.clicking import Decided, segmented
from engine.shards import drop_covering
from engine.store import annotated, confident, decisions
from maskworks import Client, Job
from maskworks.records import Result

AUTOMATIC: Final[dict[str, Any]] = {
    "type": "auto",
    "points_per_side": 32,
    "crop_n_layers": 2,
    "crop_n_points_downscale_factor": 2,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "box_nms_thresh": 0.7,
    "crop_nms_thresh": 0.7,
    "min_mask_region_area": 100,
}
"""The settings with which the paper made SA-1B: 32 x 32 points, 4 crops of 16 x 16 and 16 of 8 x 8, and its filters. A
point gives three masks, for the whole, a part and a part of that."""
_SHARD: Final = 1000
Told = Callable[[str, "Tally"], object]


@dataclass(frozen=True)
class Tally:
    """What a stage has done so far. `failed`: images without a result. `clicks`: of accepted and rejected masks."""

    images: int = 0
    failed: int = 0
    accepted: int = 0
    rejected: int = 0
    filled: int = 0
    clicks: int = 0

    def with_image(self, decided: Sequence[Decided], filled: int) -> "Tally":
        accepted = sum(one.state == "accepted" for one in decided)
        return replace(
            self,
            images=self.images + 1,
            accepted=self.accepted + accepted,
            rejected=self.rejected + len(decided) - accepted,
            filled=self.filled + filled,
            clicks=self.clicks + sum(one.clicks for one in decided),
        )

    @property
    def clicks_a_mask(self) -> float:
        """Of all masks of the stage, also of those that needed none."""
        return self.clicks / max(1, self.accepted + self.rejected + self.filled)


@dataclass(frozen=True)
class Sure:
    """When a mask of a job is filled in without asking."""

    predicted_iou: float = 0.88
    stability_score: float = 0.95

    def of(self, result: Result) -> list[int]:
        """The numbers of those masks."""
        return [
            number
            for number, mask in enumerate(result.masks)
            if mask.predicted_iou >= self.predicted_iou and mask.stability_score >= self.stability_score
        ]


def assisted(
    client: Client, prefix: str, images: Sequence[str], annotator: Annotator, told: Told, model: str | None = None
) -> Tally:
    """Someone clicks, SAM answers. Images that are finished already are left out."""
    done, tally = annotated(client, prefix, "assisted", annotator.name), Tally()
    for image in images:
        if image not in done:
            decided = [segmented(client, image, one, model) for one in annotator.objects(image, [])]
            client.annotations.store(list(decisions(image, "assisted", annotator, decided)))
            tally = tally.with_image(decided, 0)
            told(image, tally)
    return tally


def semi_automatic(
    client: Client,
    prefix: str,
    images: Sequence[str],
    annotator: Annotator,
    told: Told,
    sure: Sure | None = None,
    task: dict[str, Any] | None = None,
    model: str | None = None,
) -> Tally:
    """A job fills in what it is sure of; the annotator is asked for the rest. Finished images are left out."""
    done, sure, tally = annotated(client, prefix, "semi_automatic"), sure or Sure(), Tally()
    left = [image for image in images if image not in done]
    if not left:
        return tally
    job = _ended(client.jobs.submit(images=left, task=task or {"type": "auto"}, **_model(model)))
    for result in job.results():
        if result.state != "succeeded":
            tally = replace(tally, failed=tally.failed + 1)
            told(f"{result.image} {result.state}", tally)
            continue
        chosen = sure.of(result)
        found = [result.masks[number].to_numpy() for number in chosen]
        decided = [segmented(client, result.image, one, model) for one in annotator.objects(result.image, found)]
        asked = decisions(result.image, "semi_automatic", annotator, decided)
        client.annotations.store([*confident(result, job.id, chosen), *asked])
        tally = tally.with_image(decided, len(chosen))
        told(result.image, tally)
    return tally


def automatic(
    client: Client, prefix: str, folder: Path, task: dict[str, Any] | None = None, model: str | None = None
) -> str:
    """A job over every image, and its masks as SA-1B shards in a folder. Returns the job's id.

    Masks of nearly the whole image are left out.
    """
    job = _ended(client.jobs.submit(prefix=prefix, task=task or AUTOMATIC, **_model(model)))
    job.export("sa1b", folder, page_size=_SHARD)
    drop_covering(folder)
    return job.id


def _ended(job: Job) -> Job:
    """Wait for it. Single images may have failed. Raises JobUnsuccessful where the whole job has."""
    job.wait()
    return job if job.state == "partially_succeeded" else job.check()


def _model(model: str | None) -> Any:
    return {} if model is None else {"model": model}
