"""The gate of the pipeline: it admits many chunks side by side, or one suspect image alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Gate:
    """A readers-writer lock that counts images. A waiting suspect holds back new admissions, so it gets its turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone_wanted = 0
        self._alone = False

    def enter(self, images: int, give_up: Callable[[], bool]) -> bool:
        """Admit `images`. Waits while an image is alone or waits to be. False: `give_up` said so."""
        with self._changed:
            while self._alone or self._alone_wanted:
                if give_up():
                    return False
                self._changed.wait(0.1)
            self._inside += images
            return True

    def leave(self, images: int = 1) -> None:
        with self._changed:
            self._inside -= images
            self._changed.notify_all()

    @contextmanager
    def alone(self, give_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait until the pipeline is empty, then admit one image alone. Yields False if `give_up` said so.

        The image counts as inside: the pipeline's `leave` ends it, and only then may others enter.
        """
        with self._changed:
            self._alone_wanted += 1
            while (self._alone or self._inside) and not give_up():
                self._changed.wait(0.1)
            self._alone_wanted -= 1
            admitted = not (self._alone or self._inside)
            if admitted:
                self._alone, self._inside = True, 1
            self._changed.notify_all()
        try:
            yield admitted
        finally:
            if admitted:
                with self._changed:
                    self._alone = False
                    self._changed.notify_all()
