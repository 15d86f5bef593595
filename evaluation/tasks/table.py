"""The table of tasks. A new one is a file here and a row."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from evaluation.task import Task
from evaluation.tasks.classical import Classical
from evaluation.tasks.clicks import Clicks


@dataclass(frozen=True)
class Row:
    """What a task is, the arguments that only it has, and how it is made from them."""

    about: str
    make: Callable[[Namespace], Task]
    arguments: Mapping[str, dict[str, Any]] = field(default_factory=dict)

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
        "classical": Row("one click and one box, beside classical methods", lambda _: Classical()),
    }
)
