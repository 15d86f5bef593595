"""Tasks for a segmenter: prompts, phrases, or automatic masks. Torch-free: the API uses it.

All coordinates are xy pixels of the upright image. `model.tasks.bounds.fit` checks whether prompts lie inside it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from model.masks.rle import RLE, RLEError, checked_runs

MAX_PROMPTS = 1024
MAX_POINTS = 256
MAX_MASK_PIXELS = 200_000_000
MAX_COORDINATE = 1_000_000
MAX_PHRASES = 256
MAX_PHRASE = 256
MAX_EXEMPLARS = 256
MAX_WINDOW = 8192
MIN_OVERLAP = 16
_NO_PHRASE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Point = tuple[Coordinate, Coordinate]
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
BoxFormat = Literal["xyxy", "xywh"]
Fraction = Annotated[float, Field(ge=0, le=1)]
PixelCount = Annotated[int, Field(ge=0, le=2**31 - 1)]


Some = TypeVar("Some", bound=tuple[Any, ...])


def _not_empty(values: Some) -> Some:
    """Not `min_length`, which would add an error of its own to each error inside."""
    if not values:
        raise ValueError("at least one is needed")
    return values


def corners(box: Box, box_format: BoxFormat) -> Box:
    """x0, y0, x1, y1 of a box given in `box_format`."""
    if box_format == "xyxy":
        return box
    x, y, width, height = box
    return x, y, x + width, y + height


def how_read(box_format: BoxFormat) -> str:
    """How a box was read, for error messages."""
    if box_format == "xyxy":
        return 'read as xyxy (corner pairs); set task.box_format to "xywh" if these are x, y, width, height'
    return 'read as xywh (x, y, width, height); set task.box_format to "xyxy" if these are corner pairs'


def box_problem(box: Box, box_format: BoxFormat) -> str | None:
    """Why these four numbers can be no box in any image; None where they can."""
    x0, y0, x1, y1 = corners(box, box_format)
    if x1 < x0 or y1 < y0:
        rule = "x1 >= x0 and y1 >= y0" if box_format == "xyxy" else "width and height of at least 0"
    elif max(x1, y1) > MAX_COORDINATE:
        rule = f"corners of at most {MAX_COORDINATE}"
    else:
        return None
    return f"box {list(box)} must have {rule}: {how_read(box_format)}"


class _MaskPrompt:
    """In JSON an RLE. In Python also logits, float (1, 4h, 4w)."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_mask_prompt, handler.generate_schema(RLE))


def _mask_prompt(value: Any, as_rle: Any) -> RLE | NDArray[np.float32]:
    if isinstance(value, np.ndarray):
        if value.ndim != 3 or value.shape[0] != 1 or not np.isfinite(value).all():
            raise ValueError("mask logits must be finite and of shape (1, 4h, 4w)")
        return value.astype(np.float32)
    size = value.get("size") if isinstance(value, dict) else None  # checked first, or each bad entry would be an error
    if isinstance(size, list) and len(size) != 2:
        raise ValueError("size must be [height, width]")
    rle: RLE = as_rle(value)
    if len(rle["size"]) != 2 or min(rle["size"]) < 1 or rle["size"][0] * rle["size"][1] > MAX_MASK_PIXELS:
        raise ValueError("size must be [height, width] of at least 1x1")
    try:
        checked_runs(rle)
    except RLEError as error:
        raise ValueError(str(error)) from error
    return rle


@dataclass(frozen=True, config=_CONFIG)
class Prompt:
    """One prompt for one image: any mix of points, a box and a mask.

    `labels`: 1 foreground, 0 background, one per point. `box`: four numbers in the task's `box_format`. `mask`: the
    RLE of a mask of the image's size, or logits from an earlier round. `multimask`: three masks instead of one. None
    means three for a single point, else one.
    """

    id: Annotated[str, Field(max_length=256)] = ""
    points: Annotated[tuple[Point, ...], Field(max_length=MAX_POINTS, fail_fast=True)] = ()
    labels: Annotated[
        tuple[Literal[0, 1], ...], Field(max_length=MAX_POINTS, fail_fast=True, validate_default=True)
    ] = ()
    box: Box | None = None
    mask: Annotated[RLE | NDArray[np.float32], _MaskPrompt()] | None = None
    multimask: bool | None = None

    @field_validator("labels")
    @classmethod
    def _one_a_point(cls, labels: tuple[int, ...], given: ValidationInfo) -> tuple[int, ...]:
        points = given.data.get("points")  # None: the points were refused
        if points is not None and len(points) != len(labels):
            raise ValueError(f"needs one label a point: {len(points)} points but {len(labels)} labels")
        return labels

    @model_validator(mode="after")
    def _consistent(self) -> "Prompt":
        if not self.points and self.box is None and self.mask is None:
            raise ValueError("a prompt needs at least one of points, box, mask")
        return self

    @property
    def three_masks(self) -> bool:
        """Whether this prompt is answered with three masks."""
        if self.multimask is not None:
            return self.multimask
        return len(self.points) == 1 and self.box is None and self.mask is None


@dataclass(frozen=True, config=_CONFIG)
class Prompted:
    """Masks for given prompts. A prompt without an id takes its index; ids are unique.

    `box_format`: "xyxy" for boxes given as x0, y0, x1, y1, "xywh" for x, y, width, height.
    """

    prompts: Annotated[tuple[Prompt, ...], Field(max_length=MAX_PROMPTS), AfterValidator(_not_empty)]
    type: Literal["prompted"] = "prompted"
    box_format: BoxFormat = "xyxy"

    @model_validator(mode="after")
    def _boxes(self) -> "Prompted":
        for i, prompt in enumerate(self.prompts):
            problem = None if prompt.box is None else box_problem(prompt.box, self.box_format)
            if problem is not None:
                raise ValueError(f"prompt {prompt.id or str(i)!r}: {problem}")
        return self

    @model_validator(mode="after")
    def _named(self) -> "Prompted":
        named = tuple(p if p.id else replace(p, id=str(i)) for i, p in enumerate(self.prompts))
        if len({p.id for p in named}) != len(named):
            raise ValueError("prompt ids must be unique")
        object.__setattr__(self, "prompts", named)
        return self


@dataclass(frozen=True, config=_CONFIG)
class Automatic:
    """Masks of everything in an image. Parameters have the names of the reference generator; three are ours.

    None means the default of the model's row. The grid is `points_per_side` for the whole image, or `point_grids`:
    one list of xy in [0, 1] for each crop layer. A threshold of 0 filters nothing. Areas are in pixels of the image.
    `max_masks` keeps the masks with the highest predicted IoU. `points_per_batch` limits memory on a CPU and changes
    no mask; a GPU decodes as many points together as its memory holds.
    """

    points_per_side: Annotated[int, Field(ge=1, le=128)] | None = None
    points_per_batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    pred_iou_thresh: Fraction | None = None
    stability_score_thresh: Fraction | None = None
    stability_score_offset: Annotated[float, Field(ge=0, le=100)] | None = None
    box_nms_thresh: Fraction | None = None
    crop_n_layers: Annotated[int, Field(ge=0, le=4)] | None = None
    crop_nms_thresh: Fraction | None = None
    crop_overlap_ratio: Fraction | None = None
    crop_n_points_downscale_factor: Annotated[int, Field(ge=1, le=16)] | None = None
    point_grids: (
        Annotated[
            tuple[Annotated[tuple[tuple[Fraction, Fraction], ...], Field(max_length=16384, fail_fast=True)], ...],
            Field(max_length=5),
            AfterValidator(_not_empty),
        ]
        | None
    ) = None
    min_mask_region_area: PixelCount | None = None
    min_mask_area: PixelCount | None = None
    max_mask_area: PixelCount | None = None
    max_masks: Annotated[int, Field(ge=1, le=20_000)] | None = None
    type: Literal["auto"] = "auto"

    def resolved(self, defaults: Mapping[str, Any]) -> "Automatic":
        """This task with every None replaced by the default. Where there is no default it stays None."""
        gaps = {name for name, value in asdict(self).items() if value is None}
        return replace(self, **{name: value for name, value in defaults.items() if name in gaps})


def _phrase(phrase: str) -> str:
    if not phrase.strip() or _NO_PHRASE.search(phrase):
        raise ValueError("must have a letter or another visible character, and no control characters")
    return phrase


def _all_different(phrases: tuple[str, ...]) -> tuple[str, ...]:
    if len({phrase.strip().lower() for phrase in phrases}) < len(phrases):
        raise ValueError("must not have the same phrase twice: case and spaces around it do not count")
    return phrases


Phrase = Annotated[str, Field(max_length=MAX_PHRASE), AfterValidator(_phrase)]


@dataclass(frozen=True, config=_CONFIG)
class Exemplar:
    """A box around an example of a phrase, or, with the label 0, around something that it does not mean."""

    phrase: Phrase
    box: Box
    label: Literal[0, 1] = 1


@dataclass(frozen=True, config=_CONFIG)
class TextQuery:
    """Phrases to look for, and how sure a match must be. None means the default of the worker's model for text.

    `box_threshold`: a box counts if it scores more for one of the phrases. `text_threshold`: it then counts for each
    phrase for which it scores more than this; by default as `box_threshold`. `nms_threshold`: of two boxes of one
    phrase whose IoU is greater, the better stays. `cross_nms_threshold`: the same for boxes of different phrases, which
    are kept apart by default. `max_masks`: the best of each phrase. `box_format`: how exemplars give their boxes.
    """

    phrases: Annotated[
        tuple[Phrase, ...],
        Field(max_length=MAX_PHRASES, fail_fast=True),
        AfterValidator(_not_empty),
        AfterValidator(_all_different),
    ]
    type: Literal["text"]
    box_threshold: Fraction | None = None
    text_threshold: Fraction | None = None
    nms_threshold: Fraction | None = None
    cross_nms_threshold: Fraction | None = None
    max_masks: Annotated[int, Field(ge=1, le=20_000)] | None = None
    box_format: BoxFormat = "xyxy"


@dataclass(frozen=True, config=_CONFIG)
class Text(TextQuery):
    """Masks for phrases in one image. `exemplars` show what a phrase means there."""

    type: Literal["text"] = "text"
    exemplars: Annotated[tuple[Exemplar, ...], Field(max_length=MAX_EXEMPLARS)] = ()

    @model_validator(mode="after")
    def _exemplars(self) -> "Text":
        for i, exemplar in enumerate(self.exemplars):
            problem = exemplar_problem(exemplar, self.phrases, self.box_format)
            if problem is not None:
                raise ValueError(f"exemplar {i}: {problem[1]}")
        return self


def exemplar_problem(exemplar: Exemplar, phrases: Collection[str], box_format: BoxFormat) -> tuple[str, str] | None:
    """Which field of an exemplar is wrong, and why; None where it is right."""
    if exemplar.phrase not in phrases:
        return "phrase", f"{exemplar.phrase!r} is none of the task's phrases"
    problem = box_problem(exemplar.box, box_format)
    return None if problem is None else ("box", problem)


@dataclass(frozen=True, config=_CONFIG)
class Tiling:
    """Windows of at most `size` x `size` pixels, each sharing at least `overlap` pixels with its neighbours.

    None means an eighth of the size. More than a third would let a window meet others than its neighbours.
    """

    size: Annotated[int, Field(ge=64, le=MAX_WINDOW)]
    overlap: Annotated[int, Field(ge=MIN_OVERLAP)] | None = None

    @field_validator("overlap")
    @classmethod
    def _fits(cls, overlap: int | None, given: ValidationInfo) -> int | None:
        size = given.data.get("size")  # None: the size was refused
        if overlap is not None and size is not None and overlap > size // 3:
            raise ValueError(f"must be at most a third of the size: {size // 3}")
        return overlap

    @property
    def shared(self) -> int:
        """The overlap, in pixels."""
        return max(MIN_OVERLAP, self.size // 8) if self.overlap is None else self.overlap


class _Tile:
    """In JSON `"auto"` or an object."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_tile, handler.generate_schema(Tiling))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "const": "auto"}, handler(schema)]}


def _tile(value: Any, as_tiling: Any) -> Any:
    if value == "auto":
        return value
    if not isinstance(value, dict | Tiling):
        raise ValueError('must be "auto" or an object with size and overlap')
    return as_tiling(value)


Tile = Annotated[Literal["auto"] | Tiling, _Tile()]
"""How an image is cut into windows. "auto": not at all where it fits in one, else by the model."""
TILE: TypeAdapter[Literal["auto"] | Tiling] = TypeAdapter(Tile)


@dataclass(frozen=True)
class Embed:
    """The embedding of the whole image instead of masks. Jobs cannot ask for it."""


Wanted = Automatic | Prompted | Text | Embed
"""What a segmenter is asked for one image."""
Task = Annotated[Automatic | Prompted | Text, Field(discriminator="type")]
TASK: TypeAdapter[Task] = TypeAdapter(Task)
