"""What can go wrong with the embedded stack. Every message is meant for the person at the terminal.

StackError
├── AlreadyRunning    another supervisor holds the data folder
├── NotRunning        nothing holds it
├── PortTaken         the port asked for belongs to somebody else
├── Misconfigured     a setting, or the weights of a model, are not what our programs can run with
├── Unreachable       the account that runs Postgres under root can reach no place for it
└── ChildFailed       a program ended, or never became ready; carries its log's tail
"""

from pathlib import Path

TAIL_LINES = 25


class StackError(Exception):
    """The embedded stack cannot go on; the text says why and what to do."""


class AlreadyRunning(StackError):
    pass


class NotRunning(StackError):
    pass


class PortTaken(StackError):
    pass


class Misconfigured(StackError):
    pass


class Unreachable(StackError):
    pass


class ChildFailed(StackError):
    """A child process ended or stalled. `log` is where the whole story stands."""

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(f"{what}\n--- the end of {log} ---\n{tail(log)}")
        self.log = log


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log; empty when there is none. Reads at most its last 64 KiB."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 65536))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
