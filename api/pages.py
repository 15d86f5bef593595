"""Pages for people: `/` for jobs and their images, `/docs` for the API. Everything is loaded from this service."""

from pathlib import Path
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
# Pictures are shown from memory (`blob:`), because an address cannot carry the key. Swagger UI's icons are `data:`.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The decoder's worker has a policy of its own. Only it, and the threads that it starts, may compile WebAssembly.
_WASM_POLICY: Final = _POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
_WASM_SCRIPTS: Final = ("pages/decoder.js", "pages/ort-wasm-simd-threaded.mjs")
# They let the decoder have several threads.
_ISOLATION: Final = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
# With `no-cache` a browser checks the ETag each time and sees updates at once.
_HEADERS: Final = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}


@router.get("/")
async def root(request: Request) -> Response:
    """The pages of `web/`. Their addresses are relative, so they work behind any proxy."""
    return await _file("pages/index.html", request)


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
    if path in _WASM_SCRIPTS:
        answer.headers["Content-Security-Policy"] = _WASM_POLICY
    # Browsers send this header over https and to localhost. Elsewhere they would complain of headers that do nothing.
    if "sec-fetch-dest" in request.headers:
        answer.headers.update(_ISOLATION)
    return answer
