"""Read one object, with a limit on its size, a deadline, and retries where they may help."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from db.object_uri import ObjectUri, split_uri
from db.states import ItemReason
from workers.failures import ItemFailed
from workers.settings import Settings
from workers.storage.client import check_bucket
from workers.storage.refusals import READ_ERRORS, describe, refusal, throttled
from workers.storage.throttling import Brake

log = logging.getLogger(__name__)

_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.4
_LONGEST_PAUSE: Final = 4.0
_PIECE: Final = 256 * 1024
_BUCKETS: Final = 1000


class GivenUp(Exception):
    """The object was not read, and the item is not at fault. A later claim of its chunk tries it again."""


class Objects:
    """What the readers of a process share: the client, and a brake for each bucket."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._brake = lru_cache(_BUCKETS)(lambda _bucket: Brake())

    def open(self, uri: str) -> "Reading":
        return Reading(self._client, uri, self._settings, self._brake(split_uri(uri).bucket))


class Reading:
    """One object, read by one thread. Another thread may ask whether it is overdue, and end it."""

    def __init__(self, client: Any, uri: str, settings: Settings, brake: Brake) -> None:
        self.uri = uri
        self.tag: str | None = None
        """Changes with the object's content. Known once the store has answered."""
        self._client = client
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
        wanted = split_uri(self.uri)
        check_bucket(wanted.bucket, self._settings.buckets)
        if known is not None and self._is_known(wanted, known):
            return None
        while True:
            self._slow_down()
            try:
                data = self._get(wanted)
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

    def overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def late(self) -> ItemFailed:
        """The error for the item of an overdue reading."""
        tried = f"; the last of {len(self._failures)} failed tries: {self._failures[-1]}" if self._failures else ""
        seconds = f"{self._settings.fetch_seconds:g} s (MASKWORKS_FETCH_SECONDS)"
        return ItemFailed(ItemReason.TIMEOUT, f"{self.uri}: not read within {seconds}{tried}")

    def _is_known(self, wanted: ObjectUri, known: Callable[[str], bool]) -> bool:
        """Ask for the object's tag alone. Where that fails, reading it says why."""
        self._slow_down()
        try:
            answer = self._client.head_object(**_named(wanted))
        except READ_ERRORS:
            return False
        self._brake.passed()
        self.tag = _tag(answer)
        return self.tag is not None and known(self.tag)

    def _get(self, wanted: ObjectUri) -> bytes:
        answer = self._client.get_object(**_named(wanted))
        self.tag = _tag(answer)
        most, size = self._settings.max_image_bytes, answer.get("ContentLength")
        with self._interruptible(answer["Body"]) as body:
            self._check()
            if size is not None and size > most:
                raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"{size} bytes; at most {most} are fetched")
            data = bytearray()
            while piece := body.read(_PIECE):
                self._check()
                data += piece
                if len(data) > most:
                    raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"more than {most} bytes; at most {most} are fetched")
            self._check()  # a cut-off answer without a length ends like this too
        return bytes(data)

    @contextmanager
    def _interruptible(self, body: Any) -> Iterator[Any]:
        """The stream below `body`, which `end` can shut down. `body` itself checks lengths and checksums."""
        with body as stream:
            with self._lock:
                self._stream = stream
            try:
                yield body
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
        if throttled(error):
            self._throttled(error)
            return
        failed = refusal(error, self.uri)
        if failed is not None:
            self._brake.passed()
            raise failed from error
        self._failures.append(describe(error))
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
            detail = f"{self.uri}: the bucket has refused every request for {seconds}: {describe(error)}"
            raise ItemFailed(ItemReason.STORAGE_UNAVAILABLE, detail) from error


def _named(wanted: ObjectUri) -> dict[str, str]:
    """The parameters of boto3 that name the object."""
    version = {} if wanted.version is None else {"VersionId": wanted.version}
    return {"Bucket": wanted.bucket, "Key": wanted.key, **version}


def _tag(answer: dict[str, Any]) -> str | None:
    """The ETag, or the version's id where the store gives no ETag. A version without an id is called `null`."""
    if etag := answer.get("ETag"):
        return f"etag {etag}"
    version = answer.get("VersionId")
    return None if version in (None, "null") else f"version {version}"
