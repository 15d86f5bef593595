"""A job's progress for people: a bar on stderr, or a line in a notebook."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskworks.records import JobRecord


@contextmanager
def shown(visible: bool) -> Iterator[Callable[[JobRecord], None]]:
    """A function that takes each state of the job; a bar while the block runs, where it is to be visible."""
    if not visible:
        yield _hidden
        return
    if "ipykernel" in sys.modules:
        yield _in_notebook()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[more]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, more="")

        def show(record: JobRecord) -> None:
            counts = record.counts
            total = counts.total if record.state != "ingesting" else None
            left = counts.pending + counts.running
            bar.update(task, description=record.state, completed=counts.total - left, total=total, more=more(record))

        yield show


def _hidden(record: JobRecord) -> None:
    """Show nothing."""


def _in_notebook() -> Callable[[JobRecord], None]:
    """One output of the cell, which each state replaces. A bar of rich would need ipywidgets."""
    from IPython.display import display

    place = display({"text/plain": "…"}, raw=True, display_id=True)

    def show(record: JobRecord) -> None:
        counts = record.counts
        ended = counts.total - counts.pending - counts.running
        place.update({"text/plain": f"{record.state} {ended}/{counts.total}  {more(record)}"}, raw=True)

    return show


def more(record: JobRecord) -> str:
    """What a bar does not show: the rate, the time left, failures by reason, why nothing moves."""
    rate, eta = record.progress.items_per_second, record.progress.eta_seconds
    parts = [f"{rate:.3g}/s"] if rate else []
    if eta is not None and not record.done:
        parts.append(f"{span(eta)} left")
    parts += [f"{each.count} {each.reason}" for each in record.failures]
    if record.waiting_for:
        parts.append(f"waiting: {record.waiting_for}")
    return "  ".join(parts)


def span(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
