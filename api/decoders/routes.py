"""The download of a model's mask decoder."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.responses import StreamingResponse

from api.decoders.files import Decoders, pieces
from api.http.etags import is_known
from api.http.problems import PROBLEMS, Responses, problem_answer
from api.refusals import DecoderNotFound

_ETAG = {"ETag": {"description": "Of the file", "schema": {"type": "string"}}}
_RESPONSES: Responses = {
    200: {
        "description": "The decoder: an ONNX file",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": _ETAG,
    },
    304: {"description": "`If-None-Match` names the file's ETag", "headers": _ETAG},
    404: problem_answer("There is no decoder of these weights"),
}

router = APIRouter(prefix="/v1/models", tags=["models"], responses=PROBLEMS)


@router.get("/{model}/decoders/{revision}", response_class=Response, responses=_RESPONSES)
async def get_decoder(
    request: Request, model: str, revision: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Download a model's mask decoder, an ONNX file.

    It goes with embeddings that workers with the same weights make (`POST /v1/embeddings`). `GET /v1/models` lists the
    revisions that are there.
    """
    decoders: Decoders = request.app.state.decoders
    path = decoders.get((model, revision))
    if path is None or model not in request.app.state.settings.models:
        raise DecoderNotFound("there is no decoder of this model and revision: GET /v1/models lists those that are")
    facts = path.stat()
    headers = {"ETag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"', "Cache-Control": "private, no-cache"}
    if is_known(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Length": str(facts.st_size), "Vary": "Authorization"}
    return StreamingResponse(pieces(path), media_type="application/octet-stream", headers=headers)
