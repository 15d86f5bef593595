"""Starts programs, restarts those that die, and gives up on those that keep dying.

One thread does every fork, because the kernel sends the death signal when the forking *thread* ends. It lives until the
last child has been stopped. Everything else may be called from any thread.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from db.configuration import EXIT_CONFIGURATION
from deploy.local.children import Child, Command
from deploy.local.errors import ChildFailed, StackError

POLL_SECONDS = 0.1
MAX_DEATHS = 5
DEATHS_WITHIN_SECONDS = 60.0
RESTART_DELAY_SECONDS = 0.3


class Watched:
    """A child and what is wanted of it."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.restarted = False  # whether a death is answered by a new start
        self.deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self.restart_at: float | None = None


class Supervisor:
    """`changed` is called on the supervising thread after a child was restarted."""

    def __init__(self, changed: Callable[[], None] | None = None) -> None:
        self.failure: StackError | None = None
        self._changed = changed
        self._watched: dict[str, Watched] = {}
        self._starts: queue.Queue[tuple[Command, Future[Child]] | None] = queue.Queue()
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, command: Command) -> Child:
        """Start a program. Until `keep` is called it is not restarted."""
        done: Future[Child] = Future()
        self._starts.put((command, done))
        return done.result()

    def keep(self, name: str) -> None:
        """From now on restart it when it dies."""
        self._watched[name].restarted = True

    def let_die(self) -> None:
        """Restart nothing from now on."""
        for watched in list(self._watched.values()):
            watched.restarted = False

    def pid(self, name: str) -> int:
        return self._watched[name].child.pid

    def exit_code(self, name: str) -> int | None:
        return self._watched[name].child.exit_code()

    def names(self) -> list[str]:
        return list(self._watched)

    def command(self, name: str) -> Command:
        return self._watched[name].child.command

    def stop(self, name: str, hurry: bool = False) -> None:
        """End one child and forget it."""
        watched = self._watched.pop(name, None)
        if watched is not None:
            watched.child.end(hurry)

    def stop_together(self, names: Sequence[str], hurry: bool = False) -> None:
        """End several children at the same time."""
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            list(pool.map(lambda name: self.stop(name, hurry), names))

    def close(self) -> None:
        """End whatever is left, then the supervising thread."""
        self.let_die()
        self.stop_together(self.names())
        self._starts.put(None)
        self._thread.join()

    def wait_for_failure(self, seconds: float) -> None:
        """Sleep. Raises as soon as a child was given up."""
        if self._failed.wait(seconds) and self.failure:
            raise self.failure

    def _run(self) -> None:
        while True:
            try:
                asked = self._starts.get(timeout=POLL_SECONDS)
            except queue.Empty:
                self._mend()
                continue
            if asked is None:
                return
            self._start(*asked)

    def _start(self, command: Command, done: "Future[Child]") -> None:
        try:
            child = Child(command)
        except OSError as error:
            done.set_exception(StackError(f"{command.name} ({command.argv[0]}) cannot be started: {error}"))
            return
        # Not in the asking thread, because an interrupt may end its wait.
        self._watched[command.name] = Watched(child)
        done.set_result(child)

    def _mend(self) -> None:
        for name, watched in list(self._watched.items()):
            if watched.restarted and not self._failed.is_set() and watched.child.exit_code() is not None:
                self._answer_death(name, watched)

    def _answer_death(self, name: str, watched: Watched) -> None:
        now = time.monotonic()
        if watched.child.exit_code() == EXIT_CONFIGURATION:
            self._give_up(name, watched, "refuses its settings")
            return
        if watched.restart_at is None:
            watched.deaths.append(now)
            if len(watched.deaths) == MAX_DEATHS and now - watched.deaths[0] < DEATHS_WITHIN_SECONDS:
                self._give_up(name, watched)
                return
            watched.restart_at = now + RESTART_DELAY_SECONDS * len(watched.deaths)
        if now >= watched.restart_at:
            self._restart(name, watched)

    def _restart(self, name: str, watched: Watched) -> None:
        watched.child.kill()  # what the dead leader left behind in its session
        watched.restart_at = None
        try:
            watched.child = Child(watched.child.command)
        except OSError as error:
            self._give_up(name, watched, str(error))
            return
        if self._watched.get(name) is not watched:  # stopped by another thread meanwhile
            watched.child.kill()
        elif self._changed:
            self._changed()

    def _give_up(self, name: str, watched: Watched, why: str = "") -> None:
        code = watched.child.exit_code()
        reason = why or f"died {MAX_DEATHS} times within a minute, the last time with exit code {code}"
        self.failure = ChildFailed(f"{name} {reason}.", watched.child.command.log)
        self._failed.set()
