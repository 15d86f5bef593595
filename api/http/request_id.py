"""An id for each request: in the answer as `X-Request-Id`, and in each line of the log that the request causes."""

import re
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.logs import about

_SAFE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """The outermost middleware. An id that a client or a proxy sends is kept if it is short and plain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        id_ = given if _SAFE.fullmatch(given) else f"req_{uuid4().hex}"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = id_
            await send(message)

        with about(request=id_):
            await self._app(scope, receive, named)
