"""An image on a web server as a source. Queries are secrets, because presigned URLs carry their signature there."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from db.states import ItemReason
from db.web_image import host_allowed, shown_url
from db.web_url import WebUrl
from workers.failures import ItemFailed
from workers.outbound.address import TargetRefused, TargetUnknown
from workers.outbound.exchange import Patience, exchange
from workers.storage.settings import ReadLimits
from workers.storage.source import Answer
from workers.storage.span import Span, changed, no_ranges, whole_size

_CONNECT_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 30.0
_HEADERS: Final = {"User-Agent": "maskworks", "Accept": "image/*, */*;q=0.1"}
_OK: Final = 200
_PART: Final = 206
_DENIED: Final = frozenset({401, 402, 403, 407, 451})
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_NO_SUCH_HOST: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class _Status(OSError):
    """An answer after which another try may help."""

    def __init__(self, answer: BaseHTTPResponse) -> None:
        super().__init__(f"the server answered {answer.status}")
        self.throttles = answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)


class WebImage:
    """Implements `Source`. Only a GET tells the tag, because a presigned URL allows nothing else."""

    def __init__(self, url: WebUrl, settings: ReadLimits, span: Span | None = None) -> None:
        self.shown = shown_url(url)
        self._url = url
        self._settings = settings
        self._span = span
        self._patience = Patience(_CONNECT_SECONDS, _SILENCE_SECONDS, settings.fetch_seconds)

    def check(self) -> None:
        if not host_allowed(self._url, self._settings.https_images):
            raise self._failed(ItemReason.HOST_NOT_ALLOWED, f"{self._url.authority} is not in MASKWORKS_HTTPS_IMAGES")

    def tag(self) -> str | None:
        return None

    @contextmanager
    def get(self) -> Iterator[Answer]:
        private = self._settings.private_targets
        try:
            with exchange("GET", self._url, self._patience, private=private, headers=self._headers()) as answer:
                self._check_status(answer)
                length = answer.headers.get("content-length")
                whole = whole_size(answer.headers.get("content-range"))
                yield Answer(answer, answer, int(length) if length else None, self._tag_of(answer), whole)
        except TargetRefused as error:
            raise self._failed(ItemReason.HOST_NOT_ALLOWED, str(error)) from error
        except HTTPException as error:  # no HTTP at all
            raise ProtocolError(type(error).__name__) from error

    def part(self, start: int, stop: int, tag: str | None) -> "WebImage":
        return WebImage(self._url, self._settings, Span(start, stop, tag))

    def throttled(self, error: Exception) -> bool:
        return isinstance(error, _Status) and error.throttles

    def refusal(self, error: Exception) -> ItemFailed | None:
        cause = error.__cause__ if isinstance(error, TargetUnknown) else None
        if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST:
            return self._failed(ItemReason.OBJECT_NOT_FOUND, "there is no such host")
        return None

    def describe(self, error: Exception) -> str:
        """In words of our own: errors of the network name addresses."""
        if isinstance(error, _Status):
            return str(error)
        if isinstance(error, ssl.SSLError):
            return "the server's certificate is not accepted, or TLS failed"
        if isinstance(error, NewConnectionError | ConnectTimeoutError | TargetUnknown):
            return "no connection to the server"
        if isinstance(error, ReadTimeoutError | TimeoutError):
            return "the server sent nothing for too long"
        return "the answer was cut off" if isinstance(error, HTTPError | OSError) else type(error).__name__

    def _headers(self) -> dict[str, str]:
        return _HEADERS if self._span is None else {**_HEADERS, "Range": self._span.header}

    def _tag_of(self, answer: BaseHTTPResponse) -> str | None:
        """Parts are held together by Last-Modified too, where the server gives no strong ETag."""
        tag = _strong_tag(answer)
        if self._span is None:
            return tag
        modified = answer.headers.get("last-modified")
        tag = tag or (f"modified {modified}" if modified else None)
        if tag is None:
            detail = "the server gives neither ETag nor Last-Modified, so that the image cannot be read in parts"
            raise self._failed(ItemReason.UNSUPPORTED_FORMAT, detail)
        self._span.check(tag, self.shown)
        return tag

    def _check_part(self, answer: BaseHTTPResponse) -> None:
        if answer.status == _OK or whole_size(answer.headers.get("content-range")) is None:
            raise no_ranges(self.shown)

    def _check_status(self, answer: BaseHTTPResponse) -> None:
        status = answer.status
        if self._span is not None and status in (_OK, _PART):
            self._check_part(answer)
            return
        if self._span is not None and status in (412, 416):
            raise changed(self.shown)
        if status == _OK:
            return
        if status >= 500 or status in _TRY_AGAIN:
            raise _Status(answer)
        if status in _DENIED:
            raise self._failed(ItemReason.ACCESS_DENIED, f"the server answered {status}; a signature may have expired")
        if 300 <= status < 400:
            detail = f"the server answered {status}; redirects are not followed, name the image itself"
            raise self._failed(ItemReason.OBJECT_NOT_FOUND, detail)
        raise self._failed(ItemReason.OBJECT_NOT_FOUND, f"the server answered {status}")

    def _failed(self, reason: ItemReason, detail: str) -> ItemFailed:
        return ItemFailed(reason, f"{self.shown}: {detail}")


def _strong_tag(answer: BaseHTTPResponse) -> str | None:
    """The ETag, unless it is a weak one, which may stay when bytes change."""
    etag = answer.headers.get("etag", "")
    return f"etag {etag}" if etag.startswith('"') else None
