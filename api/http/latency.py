"""How long requests wait for their answer to begin, by route."""

import re
import time
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS: Final = Histogram(
    "maskworks_http_seconds",
    "Seconds from a request's headers to the beginning of its answer. Long polls have routes that end in ?wait.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_CONVERTOR: Final = re.compile(r":\w+}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Latency:
    """Middleware around everything else. Time that a client takes to read a long answer does not count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                SECONDS.labels(method, _route(scope), message["status"]).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, timed)


def _route(scope: Scope) -> str:
    """The template of the path, never the path: the number of series must not grow with what clients ask for."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is None:
        return "none"
    template = _CONVERTOR.sub("}", path)
    polls = any(part.startswith(b"wait=") for part in scope["query_string"].split(b"&"))
    return f"{template}?wait" if polls else template
