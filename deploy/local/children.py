"""One child process: how it is started, signalled and ended. Knows nothing of what the program does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True)
class User:
    """The account a program runs as when the supervisor is root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """Everything needed to start a program again exactly as before.

    `argv[0]` is an absolute path. `ending` lists the signals of a graceful stop with the seconds for each; SIGKILL to
    the whole session follows. `orphaned` is the signal that the program gets when its supervisor dies. `environment`
    is complete: nothing else is inherited. `nice` is its niceness.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    ending: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    orphaned: signal.Signals = signal.SIGKILL
    descriptors: tuple[int, ...] = ()
    nice: int = 0


class Child:
    """A started Command. The thread that starts it must live as long as the child."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.started = time.monotonic()
        self._process = _spawn(command)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.poll()

    def end(self, hurry: bool = False) -> None:
        """Stop it by its graceful signals, then by SIGKILL to everything in its session."""
        for number, seconds in () if hurry else self.command.ending:
            self._process.send_signal(number)
            if self.wait(seconds) is not None:
                break
        self.kill()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None when it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def run_to_end(command: Command, seconds: float) -> int | None:
    """Run a program that ends by itself. Its exit code; None when it took too long and was killed."""
    child = Child(command)
    try:
        return child.wait(seconds)
    finally:
        child.kill()


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    user = f"{command.user.uid}:{command.user.gid}" if command.user else "-"
    words = (os.getpid(), int(command.orphaned), user, command.nice, "--")
    leash = [sys.executable, "-I", "-S", str(LEASH), *(str(word) for word in words)]
    with command.log.open("ab") as log:
        return subprocess.Popen(
            [*leash, *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=command.cwd,
            env=dict(command.environment),
            pass_fds=command.descriptors,
            start_new_session=True,
        )
