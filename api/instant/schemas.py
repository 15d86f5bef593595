"""The bodies of POST /v1/segment and /v1/embeddings, and the answer with masks."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.items.views import Georeference, ItemWarning, MaskBody
from api.jobs.schemas import PromptedTask
from db.states import Depth
from intake.fields import BandNumbers, ImageURI, PlainText
from intake.prompt import PromptRequest
from model.spec import MAX_PROMPTS, Automatic


class EmbeddingRequest(BaseModel):
    """One image, and the model that embeds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: PlainText | None = Field(None, description="One of GET /v1/models; the first of them by default")
    precision: Literal["exact", "fast"] | None = Field(
        None, description="`exact` is float32, `fast` is bfloat16; the worker's device decides by default"
    )
    image: ImageURI | None = Field(None, description="The image, as of an item of a job. Not beside an uploaded one")
    depth: Depth | None = Field(None, description="How samples of more than 8 bits become 8: as of a job's input")
    bands: BandNumbers | None = Field(None, description="The bands that are taken: as of a job's input")


class SegmentRequest(EmbeddingRequest):
    """One image, and what to segment in it."""

    task: Annotated[Automatic | PromptedTask, Field(discriminator="type")] = Field(
        description="`auto` segments everything, `prompted` what the prompts ask for"
    )
    prompts: Annotated[tuple[PromptRequest, ...], Field(max_length=MAX_PROMPTS, fail_fast=True)] | None = Field(
        None, description="Points, boxes and masks in pixels of the upright image; of a prompted task only"
    )


class Segmented(BaseModel):
    """The masks of an image, as those of an item."""

    size: tuple[int, int] = Field(description="[height, width] of the upright image")
    orientation: int = Field(description="The EXIF orientation found, before it was applied")
    frames: int | None = Field(description="Images in the file; the first was taken")
    georeference: Georeference | None = Field(None, description="Where on the ground the image is, if its file says so")
    masks: list[MaskBody] = Field(description="In the model's order")
    model: str
    model_revision: str
    precision: str
    timings_ms: dict[str, float]
    warnings: list[ItemWarning]
