"""What a client may send: the body of POST /v1/jobs."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from model.spec import MAX_PROMPTS, Automatic, BoxFormat, Prompt

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_KEY_BYTES = 1024
NOT_SUPPORTED = "not_supported"
"""The pydantic error type of a field whose feature is not built."""


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_character", "must not contain control characters")
    return text


def _split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` → bucket, key. Strict: nothing that two readers could resolve to different objects."""
    if not uri.startswith("s3://"):
        raise PydanticCustomError("s3_uri", "must be s3://bucket/key")
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not slash or not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise PydanticCustomError("s3_uri", "must be s3://bucket/key with a valid bucket name")
    _plain(uri)
    segments = key.split("/")
    if ".." in segments or "." in segments or "" in segments[:-1]:
        raise PydanticCustomError("s3_uri", "a key must not have empty, . or .. segments")
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise PydanticCustomError("s3_uri", "a key has at most 1024 bytes")
    return bucket, key


def _object_uri(uri: str) -> str:
    _, key = _split_uri(uri)
    if not key or key.endswith("/"):
        raise PydanticCustomError("s3_uri", "must name an object: s3://bucket/key")
    return uri


def _prefix_uri(uri: str) -> str:
    _split_uri(uri)
    return uri


def _not_built(value: Any) -> None:
    if value is not None:
        raise PydanticCustomError(NOT_SUPPORTED, "is not supported yet")


def _in_the_future(at: datetime) -> datetime:
    if at <= datetime.now(UTC):
        raise PydanticCustomError("deadline_past", "must be in the future")
    return at


ObjectURI = Annotated[str, AfterValidator(_object_uri), Field(examples=["s3://bucket/photos/a.jpg"])]
PrefixURI = Annotated[str, AfterValidator(_prefix_uri), Field(examples=["s3://bucket/photos/"])]
PlainText = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_plain)]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=255), AfterValidator(_plain)]
NotBuilt = Annotated[None, BeforeValidator(_not_built), WithJsonSchema({"type": "null"})]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptedTask(_Body):
    """Masks for the prompts that each item carries."""

    type: Literal["prompted"]
    box_format: BoxFormat = Field(
        "xyxy", description="How boxes are given: `xyxy` is x0, y0, x1, y1; `xywh` is x, y, width, height"
    )


class TextTask(BaseModel):
    """Words to masks: not built yet."""

    type: Annotated[Literal["text"], AfterValidator(_not_built)]


class Item(_Body):
    """One image, and in a prompted job what to segment in it."""

    custom_id: PlainText | None = Field(None, description="Unique in the job; the item's index where absent")
    image: ObjectURI = Field(description="Where the image lies")
    prompts: Annotated[tuple[Prompt, ...], Field(max_length=MAX_PROMPTS)] | None = Field(
        None,
        description="Points, boxes and masks in pixels of the upright image; of prompted jobs only. A box that reaches "
        "out of its image is clipped, a prompt that cannot be answered fails alone: see the item's `warnings`",
    )


class Input(_Body):
    """Where the items come from: exactly one of `items` and `prefix`."""

    items: tuple[Item, ...] | None = Field(None, description="The items themselves")
    prefix: PrefixURI | None = Field(None, description="Every object under this prefix becomes an item")
    glob: PlainText | None = Field(
        None, description="Only keys whose part behind the prefix matches", examples=["**/*.jpg"]
    )
    manifest: NotBuilt = Field(None, description="Not supported yet")


class JobRequest(_Body):
    """A job: what to do with which images."""

    name: PlainText | None = Field(None, description="For people", examples=["tiles"])
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=64, description="For finding it again", examples=[{"run": "7"}]
    )
    model: PlainText | None = Field(None, description="One of GET /v1/models; the first of them where absent")
    precision: Literal["exact", "fast"] | None = Field(
        None, description="`exact` is float32, `fast` bfloat16; by the worker's device where absent"
    )
    priority: int = Field(5, ge=0, le=9, description="Higher goes first")
    task: Annotated[Automatic | PromptedTask | TextTask, Field(discriminator="type")] = Field(
        description="`auto` segments everything, `prompted` what each item's prompts ask for"
    )
    input: Input
    deadline: Annotated[AwareDatetime, AfterValidator(_in_the_future)] | None = Field(
        None, description="What is not done by then expires"
    )
    max_failure_ratio: float | None = Field(
        None, ge=0, le=1, description="More failed items than this share of all fail the job at once"
    )
    validate_only: bool = Field(False, description="Check the body and store nothing")
    output: NotBuilt = Field(None, description="Not supported yet")
    webhook: NotBuilt = Field(None, description="Not supported yet")
