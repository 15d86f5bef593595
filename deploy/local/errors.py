"""What can go wrong with the local stack. Every message is for the person at the terminal.

StackError
├── AlreadyRunning    another supervisor holds the data folder
├── NotRunning        nothing holds it
├── PortTaken         the port asked for belongs to somebody else
├── Misconfigured     a setting is wrong, or the weights of a model are missing
├── Unreachable       no place is open to the account that runs Postgres under root
└── ChildFailed       a program ended, or never became ready; has the end of its log
"""

from pathlib import Path

TAIL_LINES = 25


class StackError(Exception):
    """The local stack cannot go on. The text says why and what to do."""


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
    """A child process ended or stalled. `log` has the details."""

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
