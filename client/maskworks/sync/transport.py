# Made from maskworks/aio/transport.py by `python -m tools.documents`. Change that file.
"""Calls over HTTP: sent, tried again where that may help, and refused with an exception."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from maskworks.config import Config
from maskworks.errors import ConnectionFailed, error_of
from maskworks.retries import Retries
from maskworks.submission import Body, encoded
from maskworks.sync.runtime import pieces, sleep
from maskworks.version import VERSION

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request. `seconds` is how long the server may take on purpose, beyond the client's own patience."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None
    files: Mapping[str, Any] | None = None
    seconds: float = 0.0


class Transport:
    """One connection pool to one server."""

    def __init__(
        self, config: Config, retries: int, timeout: float, on_retry: Callable[[str, float], object] | None = None
    ) -> None:
        # Imported here: it takes longer than everything else of this package together.
        import httpx

        self._retries, self._timeout, self._url, self._on_retry = retries, timeout, config.url, on_retry
        headers = {"Authorization": f"Bearer {config.api_key}", "User-Agent": f"maskworks-client/{VERSION}"}
        self._http = httpx.Client(base_url=config.url, headers=headers)

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call) -> "httpx.Response":
        """The whole answer. Raises APIError, ConnectionFailed."""
        return self._answer(call, stream=False)

    def read(self, call: Call, kind: type[T]) -> T:
        """The answer's JSON as a record."""
        return msgspec.json.decode((self.send(call)).content, type=kind)

    @contextmanager
    def open(self, call: Call) -> Iterator["httpx.Response"]:
        """An answer whose body the caller reads. Raises APIError, and ConnectionFailed also while it is read."""
        import httpx

        answer = self._answer(call, stream=True)
        try:
            yield answer
        except httpx.TransportError as error:
            raise ConnectionFailed(f"{self._url} ended its answer early: {_text(error)}") from error
        finally:
            answer.close()

    def _answer(self, call: Call, stream: bool) -> "httpx.Response":
        import httpx

        retries = Retries(self._retries)
        while True:
            try:
                answer = self._once(call, stream)
            except httpx.TransportError as error:
                why, pause = f"{self._url} cannot be reached: {_text(error)}", retries.pause_after_failure()
                if pause is None:
                    raise ConnectionFailed(why) from error
            else:
                why = f"{self._url} answers {answer.status_code}"
                pause = retries.pause_after(answer.status_code, answer.headers)
                if pause is None:
                    return _checked(answer)
            if self._on_retry is not None:
                self._on_retry(why, pause)
            sleep(pause)

    def _once(self, call: Call, stream: bool) -> "httpx.Response":
        import httpx

        headers = dict(call.headers)
        content: Any = None
        if call.body is not None:
            headers |= {"Content-Type": call.body.media_type, "Content-Length": str(call.body.size)}
            content = pieces(call.body.file)
        elif call.json is not None:
            headers["Content-Type"] = "application/json"
            content = encoded(call.json)
        request = self._http.build_request(
            call.method,
            call.path,
            params=call.params or None,
            headers=headers,
            content=content,
            files=call.files,
            timeout=httpx.Timeout(self._timeout, connect=10.0, read=self._timeout + call.seconds),
        )
        answer = self._http.send(request, stream=stream)
        if stream and answer.status_code >= 400:
            answer.read()
        return answer


def _checked(answer: "httpx.Response") -> "httpx.Response":
    if answer.status_code < 400:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    raise error_of(answer.status_code, problem)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
