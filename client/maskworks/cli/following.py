"""Wait for a job in a terminal. Ctrl-C leaves the job running and says how to return."""

import typer

from maskworks.cli.exits import Exit, of_state
from maskworks.cli.output import on_terminal, say
from maskworks.errors import WaitTimeout
from maskworks.progress import more
from maskworks.sync.job import Job


def wait_for(job: Job, timeout: float | None = None) -> Exit:
    """The code for the job's end. Raises typer.Exit where the wait ends before the job."""
    with leaving(job):
        job.wait(timeout, progress=on_terminal())
    say(summary(job))
    return of_state(job.state)


class leaving:
    """A block that follows a job. Where it ends early, it says that the job goes on."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is KeyboardInterrupt or kind is WaitTimeout:
            say(f"\n{self._job.id} goes on.")
            say(f"  maskworks watch {self._job.id}    follows it again")
            say(f"  maskworks cancel {self._job.id}   ends it")
            raise typer.Exit(Exit.INTERRUPTED if kind is KeyboardInterrupt else Exit.TIMEOUT)


def summary(job: Job) -> str:
    """One line: the state, the counts, the failures by reason, why the job ended early."""
    counts, error = job.counts, job.record.error
    parts = [f"{job.id} {job.state}: {counts.succeeded} of {counts.total} succeeded"]
    parts += [text] if (text := more(job.record)) else []
    parts += [f"{error.reason}: {error.detail}"] if error else []
    return "  ".join(parts)
