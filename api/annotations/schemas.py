"""The body of POST /v1/annotations, and the answers about annotations."""

from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from api.items.views import RLEBody
from db.states import AnnotationStage, AnnotationState
from intake.fields import ImageURI, PlainText
from model.masks.rle import RLE, RLEError, checked_runs, runs_area

MOST: Final = 1000
"""Annotations of one call."""
MAX_COUNTS: Final = 128 * 1024
_MAX_PIXELS: Final = 200_000_000
_MAX_IMAGE: Final = 2048
_GREATEST: Final = 2**31 - 1
_CONFIG: Final = ConfigDict(extra="forbid", frozen=True)


def _refused(why: str) -> PydanticCustomError:
    return PydanticCustomError("segmentation", "{why}", {"why": why})


def _whole(rle: RLE) -> RLE:
    """Run lengths that make a mask of the size, with a pixel."""
    if len(rle["size"]) != 2 or min(rle["size"]) < 1 or rle["size"][0] * rle["size"][1] > _MAX_PIXELS:
        raise _refused(f"must have a size [height, width] from 1x1 to {_MAX_PIXELS} pixels")
    if len(rle["counts"]) > MAX_COUNTS:
        raise _refused(f"must have counts of at most {MAX_COUNTS} characters")
    try:
        lengths = checked_runs(rle)
    except RLEError as error:
        raise _refused(str(error)) from error
    if int(lengths.max()) > rle["size"][0] * rle["size"][1]:  # so long that their sum overflows
        raise _refused("a run length in counts is longer than the mask")
    if runs_area(lengths) == 0:
        raise _refused("must have a pixel")
    return rle


def _short(uri: str) -> str:
    if len(uri.encode()) > _MAX_IMAGE:
        raise _refused(f"must have at most {_MAX_IMAGE} bytes")
    return uri


class AnnotationSource(BaseModel):
    """The mask of a job."""

    model_config = _CONFIG

    job_id: str = Field(pattern="^job_[0-9a-f]{32}$")
    item_index: int = Field(ge=0, le=_GREATEST)
    mask_id: int = Field(ge=0, le=_GREATEST)


class AnnotationRequest(BaseModel):
    """A mask of an image, and what became of it."""

    model_config = _CONFIG

    id: str | None = Field(
        None,
        pattern="^[0-9a-f]{32}$",
        description="A UUID of your own, as 32 hex digits. A repeat replaces the annotation",
    )
    image: Annotated[ImageURI, AfterValidator(_short)]
    segmentation: Annotated[RLE, AfterValidator(_whole)] = Field(
        description="Compressed run lengths of a mask of the upright image's size"
    )
    state: AnnotationState = AnnotationState.ACCEPTED
    stage: AnnotationStage
    annotator: PlainText = Field(description="Who decided: a person, or a program")
    clicks: int = Field(0, ge=0, le=_GREATEST, description="Clicks until it was decided")
    source: AnnotationSource | None = Field(None, description="Where the mask comes from a job")


class AnnotationsRequest(BaseModel):
    """Annotations to store. All of them are stored, or none."""

    model_config = _CONFIG

    annotations: Annotated[tuple[AnnotationRequest, ...], Field(min_length=1, max_length=MOST, fail_fast=True)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        ids = [one.id for one in self.annotations if one.id is not None]
        if len(set(ids)) < len(ids):
            raise PydanticCustomError("unique", "{why}", {"why": "annotations must not have the same id twice"})
        return self


class AnnotationsStored(BaseModel):
    ids: list[str] = Field(description="Of the annotations, in the order of the request")


class AnnotationsDeleted(BaseModel):
    deleted: int = Field(description="By this call")
    more: bool = Field(description="There may be more of them: call again")


class Annotation(BaseModel):
    """A stored annotation."""

    id: str
    image: str = Field(description="Without the query of a presigned URL")
    segmentation: RLEBody
    bbox: tuple[int, int, int, int] = Field(description="[x, y, width, height]")
    area: int
    state: AnnotationState
    stage: AnnotationStage
    annotator: str
    clicks: int
    source: AnnotationSource | None
    create_time: datetime


class AnnotationPage(BaseModel):
    annotations: list[Annotation]
    next_page_token: str | None = None
