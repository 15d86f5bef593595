"""What every answer has whatever its route: security headers, HEAD wherever there is GET, a body for every error."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""A page brings a policy of its own (`api.pages`)."""


class Edge:
    """The outermost middleware.

    An unexpected error is answered here and goes no further: Starlette raises it again after its answer, and uvicorn
    then cuts the connection under a client that may still be reading.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, with_body=scope["method"] != "HEAD")
        # `head`: an answer that is long to make need not be made.
        inner = {**scope, "method": "GET", "head": True} if scope["method"] == "HEAD" else scope
        try:
            await self._app(inner, receive, answer)
        except Exception as error:
            if answer.started:  # half an answer can only be cut
                raise
            await (await errors.answer(Request(scope), error))(scope, receive, answer)


class _Answer:
    """`send`, with our headers, and without the body where HEAD asks for none."""

    def __init__(self, send: Send, *, with_body: bool) -> None:
        self._send = send
        self._with_body = with_body
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        elif message["type"] == "http.response.body" and not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)
