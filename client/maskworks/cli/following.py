"""Wait for a job in a terminal. Ctrl-C leaves the job running and says how to return."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from maskworks.cli.exits import Exit, of_state
from maskworks.cli.output import on_terminal, say
from maskworks.errors import WaitTimeout
from maskworks.progress import more
from maskworks.sync.job import Job


def wait_for(job: Job, timeout: float | None = None, export: str | None = None) -> Exit:
    """The code for the job's end. Raises typer.Exit where the wait ends before the job."""
    with leaving(job, export):
        job.wait(timeout, progress=on_terminal())
    return ended(job)


def ended(job: Job) -> Exit:
    """Say how the job ended; the code for it."""
    say(summary(job))
    if job.counts.failed:
        say(f"  maskworks results {job.id} --state failed   lists what failed")
    return of_state(job.state)


@contextmanager
def submitting() -> Iterator[None]:
    """A block that submits. Where Ctrl-C ends it, it says what may have happened. Raises typer.Exit."""
    try:
        yield
    except KeyboardInterrupt:
        say("\ninterrupted before the server named a job: `maskworks jobs` lists it if there is one")
        raise typer.Exit(Exit.INTERRUPTED) from None


class leaving:
    """A block that follows a job. Where it ends early, it says that the job goes on."""

    def __init__(self, job: Job, export: str | None = None) -> None:
        self._job, self._export = job, export

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is KeyboardInterrupt or kind is WaitTimeout:
            say(f"\n{self._job.id} goes on.")
            say(f"  maskworks watch {self._job.id}    follows it again")
            say(f"  maskworks cancel {self._job.id}   ends it")
            if self._export:
                say(f"  maskworks results {self._job.id} --export {self._export}   writes what it has by then")
            raise typer.Exit(Exit.INTERRUPTED if kind is KeyboardInterrupt else Exit.TIMEOUT)


def summary(job: Job) -> str:
    """One line: the state, the counts, the failures by reason, why the job ended early."""
    counts, error = job.counts, job.record.error
    parts = [f"{job.id} {job.state}: {counts.succeeded} of {counts.total} succeeded"]
    parts += [text] if (text := more(job.record)) else []
    parts += [str(error)] if error else []
    return "  ".join(parts)
