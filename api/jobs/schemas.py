"""The body of POST /v1/jobs."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from api.webhooks.schemas import WebhookRequest
from db.globs import MAX_GLOB, GlobError, key_filter
from db.object_uri import object_uri, prefix_uri, split_uri
from db.states import Depth
from exports.table import FORMATS
from intake.fields import BandNumbers, PlainText, checked_uri, each_once, plain
from intake.item import ItemRequest
from model.spec import MAX_PROMPTS, Automatic, BoxFormat, Prompt, TextQuery, Tile

LABEL_KEY = "[A-Za-z0-9][A-Za-z0-9._/-]{0,62}"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LAST_DEADLINE = datetime(9999, 1, 1)
_MAX_FOLDER_BYTES = 800
"""Of an output. The names of its files need the rest."""


def _prefix_uri(uri: str) -> str:
    return checked_uri(prefix_uri, uri)


def _folder_uri(uri: str) -> str:
    folder = checked_uri(prefix_uri, uri if uri.endswith("/") else f"{uri}/")
    if len(split_uri(folder).key.encode()) > _MAX_FOLDER_BYTES:
        raise PydanticCustomError("s3_uri", "must have a prefix of at most 800 bytes")
    return folder


def _format(name: str) -> str:
    if name not in FORMATS:
        raise PydanticCustomError("format", f"must be one of {', '.join(FORMATS)}")
    return name


def _manifest_uri(uri: str) -> str:
    checked_uri(object_uri, uri)
    if not split_uri(uri).key.lower().removesuffix(".gz").endswith((".jsonl", ".csv")):
        raise PydanticCustomError("manifest", "must end in .jsonl, .csv, .jsonl.gz or .csv.gz")
    return uri


def _glob(glob: str) -> str:
    try:
        key_filter(glob)
    except GlobError as error:
        # Passed as a parameter, because pydantic reads braces in the text as a template.
        raise PydanticCustomError("glob", "{why}", {"why": str(error)}) from error
    return glob


def _label_key(key: str) -> str:
    if not re.fullmatch(LABEL_KEY, key):
        raise PydanticCustomError(
            "label_key",
            "is not a valid label key: it takes 1 to 63 of A-Z, a-z, 0-9, '.', '_', '/' and '-', "
            "the first a letter or digit",
        )
    return key


def _rfc_3339(text: Any) -> Any:
    """Pydantic would also take digits as seconds since 1970."""
    try:
        if isinstance(text, str) and _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:  # no such day or hour
        pass
    raise PydanticCustomError("time", "must be a time with its zone, such as 2030-01-01T00:00:00Z")


def _in_the_future(at: datetime) -> datetime:
    if at <= datetime.now(UTC):
        raise PydanticCustomError("deadline_past", "must be in the future")
    # In another zone, a later time could be beyond what a datetime can hold, here or in Postgres.
    if at.replace(tzinfo=None) >= _LAST_DEADLINE:
        raise PydanticCustomError("deadline_far", "must be before the year 9999")
    return at


PrefixURI = Annotated[str, AfterValidator(_prefix_uri), Field(examples=["s3://bucket/photos/"])]
FolderURI = Annotated[str, AfterValidator(_folder_uri), Field(examples=["s3://bucket/out/"])]
FormatName = Annotated[str, AfterValidator(_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]
ManifestURI = Annotated[str, AfterValidator(_manifest_uri), Field(examples=["s3://bucket/tiles.jsonl.gz"])]
Glob = Annotated[str, Field(min_length=1, max_length=MAX_GLOB), AfterValidator(plain), AfterValidator(_glob)]
LabelKey = Annotated[str, AfterValidator(_label_key), WithJsonSchema({"type": "string", "pattern": f"^{LABEL_KEY}$"})]
LabelValue = Annotated[str, Field(max_length=255), AfterValidator(plain)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


TileField = Annotated[
    Tile | None,
    Field(
        description="Segment images that do not fit into one window of `size` pixels by windows; merge their masks. "
        "Each window shares `overlap` pixels with its neighbours, an eighth of the size where absent. `auto`: windows "
        "of 1024 pixels, or of the model's own size where that is larger"
    ),
]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class AutomaticTask(Automatic):
    __doc__ = Automatic.__doc__

    tile: TileField = None


def _no_tiles(_: Any) -> Any:
    raise PydanticCustomError("tile", "is for automatic and prompted jobs: phrases are looked for in the whole image")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class TextTask(TextQuery):
    __doc__ = TextQuery.__doc__

    tile: Annotated[None, BeforeValidator(_no_tiles), Field(description="Not for text jobs")] = None


class PromptedTask(_Body):
    """Masks for the prompts that each item carries."""

    type: Literal["prompted"]
    box_format: BoxFormat = Field(
        "xyxy", description="How boxes are given: `xyxy` is x0, y0, x1, y1; `xywh` is x, y, width, height"
    )


class PromptedJobTask(PromptedTask):
    """Masks for the prompts that each item carries."""

    tile: TileField = None


class Input(_Body):
    """The images of a job: exactly one of `items`, `manifest` and `prefix`."""

    items: tuple[ItemRequest, ...] | None = Field(None, description="The items, one by one")
    prefix: PrefixURI | None = Field(
        None,
        description="Objects under this prefix become items. Without `glob`: those with the extension of a known image "
        "format, in any case, outside hidden files and folders (whose names start with a dot)",
    )
    glob: Glob | None = Field(
        None,
        description="Only keys whose part behind the prefix matches: `*` within a name, `**` anything, `**/` any "
        "folders or none, `?` one character, `[a-z]`, `[!a-z]`, `{a,b}`, `\\` before a character that stands for "
        "itself. `**` takes everything. Known extensions match in any case",
        examples=["**/*.jpg"],
    )
    prompts: Annotated[tuple[Prompt, ...], Field(max_length=MAX_PROMPTS, fail_fast=True)] | None = Field(
        None,
        description="Prompts for each image that has none of its own; of prompted jobs only. They are stored once, and "
        "take at most 256 KiB as JSON",
    )
    depth: Depth | None = Field(
        None,
        description="How samples of more than 8 bits become 8: `auto` (where absent) by the bit depth that the file "
        "declares, else by the fewest bits that hold every sample; `percentiles` from the .1th to the 99.9th "
        "percentile of the picture; `full_range` by the number type",
    )
    bands: BandNumbers | None = Field(
        None,
        description="Which bands of TIFF files become red, green and blue, or the one that becomes gray. The first is "
        "1. Where absent, the first three. Files of other formats fail",
        examples=[[4, 3, 2]],
    )
    manifest: ManifestURI | None = Field(
        None,
        description="An object with one item a line: `.jsonl`, or `.csv` with a header of `custom_id`, `image`, "
        "`prompts` and `exemplars`; `.gz` behind either. A line that is no item becomes an item that has failed, "
        "INVALID_MANIFEST_LINE",
    )


class OutputRequest(_Body):
    """Files in S3, written once the job has ended."""

    uri: FolderURI = Field(
        description="Where the job's folder goes: the files are below `{uri}{job id}/`. A slash is added at its end"
    )
    formats: Annotated[
        tuple[FormatName, ...],
        AfterValidator(each_once("format")),
        WithJsonSchema(
            {"type": "array", "items": {"type": "string", "enum": list(FORMATS)}, "minItems": 1, "uniqueItems": True}
        ),
    ] = Field(description="Formats of `GET /v1/jobs/{job_id}/results`, each once", examples=[["coco"]])


class JobRequest(_Body):
    """A job: a task and its images."""

    name: PlainText | None = Field(None, description="For people", examples=["tiles"])
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=64, description="For finding it again", examples=[{"run": "7"}]
    )
    model: PlainText | None = Field(None, description="One of GET /v1/models; the first of them by default")
    precision: Literal["exact", "fast"] | None = Field(
        None, description="`exact` is float32, `fast` is bfloat16; the worker's device decides by default"
    )
    priority: int = Field(5, ge=0, le=9, description="Higher goes first")
    task: Annotated[AutomaticTask | PromptedJobTask | TextTask, Field(discriminator="type")] = Field(
        description="`auto` segments everything, `prompted` what each item's prompts ask for, `text` what phrases name"
    )
    input: Input
    deadline: Annotated[AwareDatetime, BeforeValidator(_rfc_3339), AfterValidator(_in_the_future)] | None = Field(
        None, description="Items that are not done by then expire"
    )
    max_failure_ratio: float | None = Field(
        None, ge=0, le=1, description="If a greater share of all items fails, the job fails at once"
    )
    reuse: bool = Field(
        False,
        description="Take over the result of an earlier item where object, model and task are the same: see the item's "
        "`reused_from`",
    )
    validate_only: bool = Field(False, description="Check the body and store nothing")
    output: OutputRequest | None = Field(None, description="Write the results to S3 once the job has ended")
    webhook: WebhookRequest | None = Field(None, description="Report the job's end by a signed request")
