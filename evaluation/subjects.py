"""Models to measure, as the command line names them: `NAME` or `NAME,key=value,…`.

Keys are `precision`, `checkpoint`, `bfloat16` (on or off), `text` (a model for text), and parameters of the service
that the task lets a model set.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from evaluation.task import Subject
from model.backends.sam import Segmenter
from model.protocol import Options


class SubjectError(ValueError):
    """A model is named in a form that this command does not know."""


OWN = ("precision", "checkpoint", "bfloat16", "text")
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True)
class Named:
    """A model as it was named. `title` heads its column, `folder` holds its records."""

    title: str
    name: str
    own: dict[str, str]
    settings: dict[str, Any]

    @property
    def folder(self) -> str:
        return re.sub(r"[^\w.=,-]+", "_", self.title)

    def load(self, device: str) -> Subject:
        """Load its weights, and those of its model for text."""
        words = None
        if "text" in self.own:
            from model.words.load import load

            words = load(self.own["text"], device)
        options = Options(
            checkpoint=self.own.get("checkpoint"),
            device=device,
            precision=self.own.get("precision", "exact"),
            bfloat16=SWITCH[self.own["bfloat16"]] if "bfloat16" in self.own else None,
            words=words,
        )
        return Subject(Segmenter.load(self.name, options), self.settings)


def named(text: str, settable: Collection[str]) -> Named:
    """Read one. `settable`: the service's parameters that the task lets it set. Raises SubjectError."""
    name, *pairs = text.split(",")
    own: dict[str, str] = {}
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in {*OWN, *settable}:
            raise SubjectError(f"{text}: {pair!r} is none of {', '.join((*OWN, *sorted(settable)))}, each with =VALUE")
        if key == "bfloat16" and value not in SWITCH:
            raise SubjectError(f"{text}: bfloat16 is on or off")
        if key in OWN:
            own[key] = value
        else:
            settings[key] = _number(text, key, value)
    return Named(text, name, own, settings)


def _number(text: str, key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise SubjectError(f"{text}: {key} wants a number, not {value!r}") from error
