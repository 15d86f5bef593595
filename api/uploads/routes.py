"""Uploads: bring an image into the tenant's folder in S3, so that a job may name it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from api.auth import CurrentTenant
from api.database import Config
from api.http.problems import PROBLEMS, Responses, problem_answer
from api.http.slots import Slots
from api.refusals import UploadNotAllowed, UploadsDisabled
from api.uploads.folder import check_name, folder, place
from api.uploads.receiving import received
from api.uploads.store import UploadStore

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], responses=PROBLEMS)

_PUT: Responses = {
    **PROBLEMS,
    403: problem_answer("The key lacks the scope of this call, or the tenant may not use its folder for uploads"),
    404: problem_answer("This installation takes no uploads"),
    408: problem_answer("The body did not arrive in time"),
    413: problem_answer("The image is too large"),
    415: problem_answer("The body is encoded unlike gzip"),
    422: problem_answer("No image of a known format, or a name that no object may have"),
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Uploads(BaseModel):
    """Whether images may be uploaded, and how large they may be."""

    enabled: bool
    folder: str | None = Field(
        description="Where yours go; null without uploads", examples=["s3://images/uploads/acme/"]
    )
    max_bytes: int


class Uploaded(BaseModel):
    """An image that is in S3 now."""

    image: str = Field(description="What a job names it by", examples=["s3://images/uploads/acme/9f86d0…/cat.jpg"])
    size: int = Field(description="Bytes")
    sha256: str
    format: str = Field(examples=["JPEG"])


@router.get("")
async def get_uploads(tenant: CurrentTenant, config: Config) -> Uploads:
    """Whether images may be uploaded here, and how large they may be."""
    try:
        found = folder(config, tenant)
    except (UploadsDisabled, UploadNotAllowed):
        found = None
    return Uploads(enabled=found is not None, folder=found, max_bytes=config.max_image_bytes)


@router.put("/{name}", status_code=201, responses=_PUT, openapi_extra=_BODY)
async def upload(
    request: Request,
    tenant: CurrentTenant,
    config: Config,
    name: Annotated[
        str,
        Path(min_length=1, max_length=255, description="The name of the file", examples=["cat.jpg"]),
    ],
) -> Uploaded:
    """Upload an image, so that a job may name it.

    The body is the file. It is stored under its content and its name: the same file again is the same object, and
    nothing is ever overwritten by other content. Nothing removes it: an installation may have a rule for that.
    """
    slots: Slots = request.app.state.upload_slots
    store: UploadStore = request.app.state.upload_store
    own = folder(config, tenant)
    check_name(own, name)
    with slots.taken(tenant):
        async with received(request, tenant, config) as body:
            uri = place(own, body.sha256, name)
            await store.put(uri, body.file, body.size)
            return Uploaded(image=uri, size=body.size, sha256=body.sha256, format=body.format)
