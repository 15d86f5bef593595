"""The table of tasks. A new one is a file here and a row."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from evaluation.measures.boundaries import THRESHOLDS
from evaluation.task import Task
from evaluation.tasks.classical import Classical
from evaluation.tasks.clicks import Clicks
from evaluation.tasks.edges import EdgeDetection
from evaluation.tasks.instances import Boxes, Instances
from evaluation.tasks.proposals import Proposals
from evaluation.tasks.text import Phrases


@dataclass(frozen=True)
class Row:
    """What a task is, the arguments that only it has, and how it is made from them. `empty`: a picture without regions
    counts, because what is found there is wrong."""

    about: str
    make: Callable[[Namespace], Task]
    arguments: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    empty: bool = False

    def add_to(self, parser: ArgumentParser) -> None:
        for name, how in self.arguments.items():
            parser.add_argument(name, **how)


TASKS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "clicks": Row(
            "mean IoU after 1 to 9 clicks, top and oracle of 3, and the number of clicks to IoU .85, .90 and .95",
            lambda asked: Clicks(asked.most),
            {"--most": {"type": int, "default": 20, "help": "clicks for a region, default 20"}},
        ),
        "edges": Row(
            "edges from masks: ODS, OIS, AP, R50",
            lambda asked: EdgeDetection(thresholds=asked.thresholds),
            {"--thresholds": {"type": int, "default": THRESHOLDS, "help": "of edge strength, default 99 as published"}},
        ),
        "proposals": Row(
            "average recall of automatic masks, by size",
            lambda asked: Proposals(asked.most),
            {"--most": {"type": int, "default": 1000, "help": "masks of an image, default 1000"}},
        ),
        "instances": Row(
            "a detector's boxes as masks: COCO's average precision, or LVIS's",
            lambda asked: Instances(Boxes.read(asked.boxes)),
            {"--boxes": {"type": Path, "required": True, "help": "a file of COCO results with boxes"}},
            empty=True,
        ),
        "text": Row(
            "names of categories as phrases: IoU, recall of the best mask, and average precision",
            lambda asked: Phrases(tuple(asked.also)),
            {"--also": {"action": "append", "default": [], "help": "a phrase for every picture; may be repeated"}},
        ),
        "classical": Row("one click and one box, beside classical methods", lambda _: Classical()),
    }
)
