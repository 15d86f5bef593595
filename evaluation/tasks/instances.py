"""Instances (SAM paper, section 7.4 and D.4): a detector's boxes become masks, measured by COCO's or LVIS's precision.

The boxes are a file of COCO results. Each prompts three masks. The one with the highest predicted IoU is fed back
beside the box, and one mask is the answer. It has the score and the category of its box.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.data.picture import GroundTruthError, Picture
from evaluation.measures import coco, lvis
from evaluation.predictor import Predictor
from evaluation.task import Case, Record, Subject, Tally
from model.masks.rle import RLE, encode

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Boxes:
    """A detector's results by image. `digest` names the file's content."""

    of: dict[int | str, list[dict[str, Any]]]
    digest: str

    @classmethod
    def read(cls, path: Path) -> "Boxes":
        try:
            content = path.read_bytes()
            found: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
            for row in json.loads(content):
                found[row["image_id"]].append({k: row[k] for k in ("bbox", "score", "category_id")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GroundTruthError(f"{path} is no file of COCO results with boxes: {error!r}") from error
        return cls(dict(found), hashlib.sha256(content).hexdigest()[:12])


@dataclass(frozen=True)
class Instances:
    """Masks of the best `most` boxes of each image. COCO counts no more than 100 of a category, LVIS 300 in all."""

    boxes: Boxes = field(repr=False)
    most: int = lvis.MOST
    name: str = "instances"
    settings: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Any]:
        return {"boxes": self.boxes.digest, "most": self.most}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        if picture.image_id is None:
            raise GroundTruthError("boxes go by image id, which --format coco has")
        height, width = picture.image.shape[:2]
        rows = sorted(self.boxes.of.get(picture.image_id, ()), key=lambda row: -row["score"])
        inside = [(box, row) for row in rows if (box := clipped(row["bbox"], height, width)) is not None][: self.most]
        predictor = Predictor(subject.segmenter, picture.image) if inside else None
        masks = [refined(predictor, box) for box, _ in inside] if predictor else []
        scores, categories = ([row[name] for _, row in inside] for name in ("score", "category_id"))
        record = {"truth": coco.truth(picture), "found": coco.found(masks, scores, categories)}
        return record if picture.federated is None else record | {"federated": asdict(picture.federated)}

    def tally(self, records: Sequence[Record]) -> Tally:
        return lvis.precision(records).figures

    def worth(self, record: Record) -> list[float]:
        """The average precision of the picture alone, where it has regions that count."""
        if all(row["iscrowd"] for row in record["truth"]):
            return []
        return [lvis.precision([record]).figures(np.zeros(1, np.int64))["AP"]]

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        wanted = [encode(picture.regions[k]) for k in picture.objects]
        return [
            Case("AP of this picture", value, wanted, [row["segmentation"] for row in record["found"]])
            for value in self.worth(record)
        ]


def clipped(xywh: Sequence[float], height: int, width: int) -> Box | None:
    """x0, y0, x1, y1 inside the picture; None for a box without a pixel there."""
    x, y, w, h = xywh
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def refined(predictor: Predictor, box: Box) -> RLE:
    """The mask of a box, after one more round with the logits of the best of three."""
    first = predictor.ask(box=box)
    return encode(predictor.ask(box=box, previous=first.low[first.best], multimask=False).masks[0])
