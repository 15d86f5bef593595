"""Pages for people: `/` redirects to `/docs`, which is Swagger UI. Everything is loaded from this service."""

from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI's icons are `data:` images. With `no-cache` a browser checks the ETag each time and sees updates at once.
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}


@router.get("/")
async def root() -> Response:
    """Redirect to the docs. The address is relative, so it works behind any proxy."""
    return RedirectResponse("docs")


@router.get("/docs")
async def docs(request: Request) -> Response:
    return await _file("docs.html", request)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The document that `/docs` shows. Behind a proxy that strips a prefix, `servers` has the prefix."""
    document, prefix = request.app.openapi(), request.scope.get("root_path", "")
    served = {**document, "servers": [{"url": prefix}]} if prefix else document
    return Response(orjson.dumps(served), media_type="application/json")


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """Browsers ask for it by themselves."""
    return await _file("icon.svg", request)


@router.get("/static/{path:path}")
async def static(path: str, request: Request) -> Response:
    return await _file(path, request)


async def _file(path: str, request: Request) -> Response:
    answer = await StaticFiles(directory=STATIC).get_response(path, request.scope)
    answer.headers.update(_HEADERS)
    return answer
