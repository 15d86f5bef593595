"""The outermost layer: security headers for every answer, HEAD for every GET, a body for every error."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Pages replace the policy by their own (`api.pages`)."""


class Edge:
    """The outermost middleware.

    An unexpected error is answered here and not raised again. Starlette would raise it, and uvicorn would then cut the
    connection while the client may still be reading.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A request adds headers to its answer here, whatever the answer will be.
        scope["answer_headers"] = {}
        # `head` lets a route skip work for a body that is not sent.
        inner = {**scope, "method": "GET", "head": True} if scope["method"] == "HEAD" else scope
        answer = _Answer(send, scope, inner)
        try:
            await self._app(inner, receive, answer)
        except Exception as error:
            if answer.started:  # the answer is half sent: all that is left is to cut it
                raise
            await (await errors.answer(Request(scope), error))(scope, receive, answer)


class _Answer:
    """Wraps `send`: adds the headers, and drops the body of an answer to HEAD, for which `inner` is another scope."""

    def __init__(self, send: Send, scope: Scope, inner: Scope) -> None:
        self._send = send
        self._scope = scope
        self._inner = inner
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._scope["route"] = self._inner.get("route")  # for those who measure
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **self._scope["answer_headers"]}.items():
                headers.setdefault(name, value)
        elif message["type"] == "http.response.body" and self._inner is not self._scope:
            message = {**message, "body": b""}
        await self._send(message)
