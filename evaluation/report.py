"""The report of a run: report.json for programs, report.md for people, and a picture of cases for each model."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import Interval, differences, intervals, resampled, samples
from evaluation.task import Record, Task


@dataclass(frozen=True)
class Measured:
    """One model's records of all pictures."""

    title: str
    identity: dict[str, Any]
    records: list[Record]


@dataclass(frozen=True)
class Report:
    """The figures of each model with their intervals, and how each later model differs from the first."""

    task: str
    pictures: int
    identities: dict[str, dict[str, Any]]
    figures: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]

    def as_json(self) -> str:
        """No NaN, which JSON does not have: null where there is no such figure."""
        return json.dumps(_without_nan(asdict(self)), indent=1)

    def as_table(self) -> str:
        """Markdown: a row for each figure."""
        titles = list(self.figures)
        head = ["figure", *titles, *(f"{title} − {titles[0]}" for title in self.differences)]
        names = list(self.figures[titles[0]])
        lines = [f"{self.task}, {self.pictures} pictures; 95 % intervals by bootstrap over pictures", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for name in names:
            cells = [_cell(self.figures[title].get(name)) for title in titles]
            cells += [_cell(own.get(name), signed=True) for own in self.differences.values()]
            lines.append("| " + " | ".join([name, *cells]) + " |")
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        (folder / "report.json").write_text(self.as_json())
        (folder / "report.md").write_text(self.as_table() + "\n")


def report(task: Task, measured: list[Measured], resamples: int) -> Report:
    """The report of models that were measured on the same pictures."""
    pictures = len(measured[0].records)
    index = samples(pictures, resamples)
    tallies = [task.tally(one.records) for one in measured]
    found = [(tally(np.arange(pictures)), resampled(tally, index)) for tally in tallies]
    titles = [one.title for one in measured]
    return Report(
        task.name,
        pictures,
        {one.title: one.identity for one in measured},
        {title: intervals(*one) for title, one in zip(titles, found, strict=True)},
        {title: differences(found[0], one) for title, one in zip(titles[1:], found[1:], strict=True)},
    )


def _cell(value: Interval | None, signed: bool = False) -> str:
    if value is None or math.isnan(value.value):
        return ""
    if value.value == round(value.value) and value.value > 1 and not signed:
        return f"{value.value:.0f}"
    sign = "+" if signed else ""
    places = ".2f" if abs(value.value) >= 1 else ".3f"
    return f"{value.value:{sign}{places}} ({value.low:{sign}{places}} to {value.high:{sign}{places}})"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
