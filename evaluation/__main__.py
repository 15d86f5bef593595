"""`python -m evaluation TASK --format F --images DIR --model M --out DIR`: measure models on a data set that you have.

Several --model are compared on the same pictures. A run that was stopped goes on where it was. docs/evaluation.md has
the tasks and the formats.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from evaluation.data.picture import DataSet, GroundTruthError
from evaluation.data.table import FORMATS, Place
from evaluation.journal import Journal, RunError
from evaluation.report import Measured, report
from evaluation.run import Progress, identity, run
from evaluation.sheet import draw
from evaluation.subjects import Named, SubjectError, named
from evaluation.task import Task
from evaluation.tasks.table import TASKS
from model.errors import ModelError
from model.memory import keep_freed_memory


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    for name, row in TASKS.items():
        task = tasks.add_parser(name, help=row.about, description=row.about)
        row.add_to(task)
        task.add_argument("--format", choices=FORMATS, required=True)
        task.add_argument("--images", type=Path, required=True, help="folder of pictures, or root of a layout")
        task.add_argument("--ground-truth", type=Path, help="folder of label maps, or file of annotations")
        task.add_argument("--split", help="of SBD and BSDS500")
        task.add_argument("--min-share", type=float, default=0.0, help="leave out smaller regions")
        task.add_argument("--limit", type=int, help="use only the first so many pictures")
        task.add_argument("--model", action="append", required=True, help="NAME or NAME,key=value,…; may be repeated")
        task.add_argument("--device", default="cpu")
        task.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
        task.add_argument("--out", type=Path, required=True, help="folder for records and report")
    return parser.parse_args()


def measured(task: Task, asked: Named, data: DataSet, place: Place, device: str, out: Path) -> Measured:
    """Load one model and measure what is not measured yet, and draw its cases."""
    subject = asked.load(device)
    what = identity(task, subject, data, place)
    journal = Journal(out / asked.folder / "records.jsonl", what)
    records = run(task, subject, data, journal, Progress(f"{task.name} {asked.title}"))
    draw(task, data, records, out / asked.folder / "cases.jpg")
    return Measured(asked.title, what, records)


def evaluate(asked: argparse.Namespace) -> str:
    """The table of the whole command."""
    row = TASKS[asked.task]
    task = row.make(asked)
    models = [named(text, task.settings) for text in dict.fromkeys(asked.model)]
    place = Place(asked.images, asked.ground_truth, asked.split, asked.min_share, row.empty)
    data = FORMATS[asked.format](place)
    data = replace(data, samples=data.samples[: asked.limit])
    if not data.samples:
        raise GroundTruthError(f"{asked.images} has no picture for this task")
    found = report(task, [measured(task, m, data, place, asked.device, asked.out) for m in models], asked.resamples)
    found.write(asked.out)
    return found.as_table()


def main() -> None:
    asked = _arguments()
    keep_freed_memory()
    try:
        print(evaluate(asked))
    except (GroundTruthError, RunError, SubjectError, ModelError) as error:
        sys.exit(f"python -m evaluation: {error}")


if __name__ == "__main__":
    main()
