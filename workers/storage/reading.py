"""Read one object, with a limit on its size, a deadline, and retries where they may help."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from db.object_uri import split_uri
from db.states import ItemReason
from db.web_image import is_web, web_image
from workers.failures import ItemFailed
from workers.storage.refusals import READ_ERRORS
from workers.storage.s3_object import S3Object
from workers.storage.settings import ReadLimits
from workers.storage.source import Answer, Source
from workers.storage.span import Part
from workers.storage.throttling import Brake
from workers.storage.web_image import WebImage

log = logging.getLogger(__name__)

_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.4
_LONGEST_PAUSE: Final = 4.0
_PIECE: Final = 256 * 1024
_BUCKETS: Final = 1000


class GivenUp(Exception):
    """The object was not read, and the item is not at fault. A later claim of its chunk tries it again."""


class Objects:
    """What the readers of a process share: the clients, and a brake for each bucket and each web server."""

    def __init__(self, client: Any, settings: ReadLimits) -> None:
        self._client = client
        self._settings = settings
        self._brake = lru_cache(_BUCKETS)(lambda _bucket: Brake())

    def open(self, uri: str) -> "Reading":
        source, brake = self._source(uri)
        return Reading(source, self._settings, brake)

    def parts(self, uri: str) -> "Parts":
        """For `ObjectFile`."""
        return Parts(*self._source(uri), self._settings)

    def _source(self, uri: str) -> tuple[Source, Brake]:
        if is_web(uri):
            url = web_image(uri)
            return WebImage(url, self._settings), self._brake(f"https://{url.authority}")
        return S3Object(self._client, uri, self._settings.buckets), self._brake(split_uri(uri).bucket)


class Reading:
    """One object, read by one thread. Another thread may ask whether it is overdue, and end it."""

    def __init__(self, source: Source, settings: ReadLimits, brake: Brake) -> None:
        self.uri = source.shown
        self.tag: str | None = None
        """Changes with the object's content. Known once the store has answered."""
        self.whole: int | None = None
        """Of a part: the size of the whole object. Known with the tag."""
        self._source = source
        self._settings = settings
        self._brake = brake
        self._over = threading.Event()
        self._deadline = time.monotonic() + settings.fetch_seconds
        self._waited = 0.0
        self._failures: list[str] = []
        self._lock = threading.Lock()
        self._stream: Any = None

    def read(self, known: Callable[[str], bool] | None = None) -> bytes | None:
        """The object's bytes. None: `known` knows the object by its tag, so that it was not fetched.

        Raises ItemFailed with the reason. Raises GivenUp if it was ended or the bucket has throttled for CHUNK_SECONDS.
        """
        self._source.check()
        if known is not None and self._is_known(known):
            return None
        while True:
            self._slow_down()
            try:
                data = self._get(known)
            except READ_ERRORS as error:
                self._may_try_again(error)
            else:
                self._brake.passed()
                return data

    def end(self) -> None:
        """Make `read` raise GivenUp: at once while it waits or receives a body, else with the server's answer."""
        self._over.set()
        with self._lock:
            if self._stream is not None:
                # Read to its end meanwhile: another reader may have the connection.
                with suppress(ValueError, RuntimeError, OSError):
                    self._stream.shutdown()

    def until(self, other: "Reading") -> None:
        """Take over another reading's deadline."""
        self._deadline = other._deadline

    def overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def late(self) -> ItemFailed:
        """The error for the item of an overdue reading."""
        tried = f"; the last of {len(self._failures)} failed tries: {self._failures[-1]}" if self._failures else ""
        seconds = f"{self._settings.fetch_seconds:g} s (MASKWORKS_FETCH_SECONDS)"
        return ItemFailed(ItemReason.TIMEOUT, f"{self.uri}: not read within {seconds}{tried}")

    def _is_known(self, known: Callable[[str], bool]) -> bool:
        """Ask for the object's tag alone. Where that fails, reading it says why."""
        self._slow_down()
        try:
            tag = self._source.tag()
        except READ_ERRORS:
            return False
        return self._is_new_and_known(tag, known)

    def _is_new_and_known(self, tag: str | None, known: Callable[[str], bool]) -> bool:
        before, self.tag = self.tag, tag
        return tag is not None and tag != before and known(tag)

    def _get(self, known: Callable[[str], bool] | None) -> bytes | None:
        with self._source.get() as answer, self._interruptible(answer.stream):
            self._check()
            self.whole = answer.whole
            if known is None:
                self.tag = answer.tag
            elif self._is_new_and_known(answer.tag, known):
                return None
            return self._body(answer)

    def _body(self, answer: Answer) -> bytes:
        most, size = self._settings.max_image_bytes, answer.size
        if size is not None and size > most:
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"{size} bytes; at most {most} are fetched")
        data = bytearray()
        while piece := answer.body.read(_PIECE):
            self._check()
            data += piece
            if len(data) > most:
                raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"more than {most} bytes; at most {most} are fetched")
        self._check()  # a cut-off answer without a length ends like this too
        return bytes(data)

    @contextmanager
    def _interruptible(self, stream: Any) -> Iterator[None]:
        """Let `end` shut the stream down meanwhile."""
        with self._lock:
            self._stream = stream
        try:
            yield
        finally:
            with self._lock:
                self._stream = None

    def _check(self) -> None:
        if self._over.is_set():
            raise GivenUp
        if self.overdue():
            raise self.late()

    def _slow_down(self) -> None:
        """Wait as long as the bucket's brake says. The deadline moves by as much."""
        while delay := self._brake.delay():
            self._deadline += delay
            self._waited += delay
            if self._over.wait(delay) or self._waited > self._settings.chunk_seconds:
                raise GivenUp
        self._check()

    def _may_try_again(self, error: Exception) -> None:
        """Pause before another try. Raises ItemFailed or GivenUp where none may help."""
        if self._over.is_set():
            raise GivenUp from error
        if self._source.throttled(error):
            self._throttled(error)
            return
        failed = self._source.refusal(error)
        if failed is not None:
            self._brake.passed()
            raise failed from error
        self._failures.append(self._source.describe(error))
        log.info("fetch of %s failed, try %d of %d: %s", self.uri, len(self._failures), _TRIES, self._failures[-1])
        if len(self._failures) == _TRIES:
            raise ItemFailed(ItemReason.STORAGE_UNAVAILABLE, f"{self.uri}: {self._failures[-1]}") from error
        if self._over.wait(
            min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (len(self._failures) - 1)) * (0.5 + random.random() / 2)
        ):
            raise GivenUp from error

    def _throttled(self, error: Exception) -> None:
        if self._brake.throttled() > self._settings.throttle_seconds:
            seconds = f"{self._settings.throttle_seconds:g} s (MASKWORKS_THROTTLE_SECONDS)"
            detail = f"{self.uri}: every request was refused for {seconds}: {self._source.describe(error)}"
            raise ItemFailed(ItemReason.STORAGE_UNAVAILABLE, detail) from error


class Parts:
    """One object, read in parts by one thread, all within one deadline. Another thread may end it as it ends a Reading.

    The deadline is moved where the bucket asks for fewer requests.
    """

    def __init__(self, source: Source, brake: Brake, settings: ReadLimits) -> None:
        source.check()
        self.uri = source.shown
        self._source = source
        self._brake = brake
        self._settings = settings
        self._over = threading.Event()
        self._current = Reading(source, settings, brake)

    def __call__(self, start: int, stop: int, tag: str | None) -> Part:
        """Raises what `Reading.read` does, and ItemFailed where the object no longer has the tag."""
        before = self._current
        self._current = Reading(self._source.part(start, stop, tag), self._settings, self._brake)
        self._current.until(before)
        if self._over.is_set():
            raise GivenUp
        data = self._current.read()
        assert data is not None and self._current.whole is not None  # of a part
        return Part(data, self._current.whole, self._current.tag)

    def end(self) -> None:
        self._over.set()
        self._current.end()

    def overdue(self) -> bool:
        return self._current.overdue()

    def late(self) -> ItemFailed:
        return self._current.late()
