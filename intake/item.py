"""An item as a client gives it → its row, or what is wrong with it. The same for bodies and for manifests. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from intake.fields import ImageURI, PlainText
from intake.messages import pointer, text_of
from intake.prompt import PromptRequest
from model.spec import MAX_EXEMPLARS, MAX_PROMPTS, BoxFormat, Exemplar, Prompt, Tile, box_problem, exemplar_problem


class ItemRequest(BaseModel):
    """One image, and what to segment in it: prompts in a prompted job, exemplars in a text job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    custom_id: PlainText | None = Field(None, description="Unique in the job; the item's index by default")
    image: ImageURI = Field(
        description="The object that holds the image. `?versionId=ID` at its end names a version of it; any other `?` "
        "belongs to the key. Also `https://host/path`, where the installation allows the host. `#page=3` at its end "
        "names a page of a TIFF; the first is 1"
    )
    prompts: Annotated[tuple[PromptRequest, ...], Field(max_length=MAX_PROMPTS, fail_fast=True)] | None = Field(
        None,
        description="Points, boxes and masks in pixels of the upright image; of prompted jobs only. A box that reaches "
        "out of its image is clipped, a prompt that cannot be answered fails alone: see the item's `warnings`",
    )
    exemplars: Annotated[tuple[Exemplar, ...], Field(max_length=MAX_EXEMPLARS, fail_fast=True)] | None = Field(
        None,
        description="Boxes in this image that show what a phrase means (`label` 1) or does not mean (0); of text jobs "
        "only. Models that find things by words alone do not take them: see `GET /v1/models`",
    )
    tile: Tile | None = Field(
        None, description="How this image is cut into windows, in place of the task's `tile`; not in text jobs"
    )


class ItemRow(NamedTuple):
    """A valid item as it is stored. `prompts` is JSON as the client sent it; the worker adds the defaults.

    In a text job it holds the exemplars.
    """

    item_index: int  # a tuple has a method `index`
    custom_id: str
    image: str
    prompts: str | None
    tile: str | None = None  # JSON: how the image is cut into windows


class Fault(NamedTuple):
    """One thing wrong with an item, and a JSON pointer into it."""

    pointer: str
    detail: str


@dataclass(frozen=True)
class Prompting:
    """What the job's task asks of its items."""

    type: str
    box_format: BoxFormat = "xyxy"
    shared: bool = False
    """Whether the job has prompts for items that have none of their own."""
    phrases: frozenset[str] = frozenset()
    earlier_masks: bool = False
    """Whether prompts may name earlier masks."""
    tiled: bool = False
    """Whether images are cut into windows where an item does not say otherwise."""

    @classmethod
    def of(cls, task: Mapping[str, Any], shared: bool = False) -> "Prompting":
        """For a valid task as the client sent it."""
        phrases, tiled = frozenset(task.get("phrases", ())), task.get("tile") is not None
        return cls(task["type"], task.get("box_format", "xyxy"), shared, phrases, tiled=tiled)


_ITEM: Final = TypeAdapter(ItemRequest)
_ITEMS: Final = TypeAdapter(list[ItemRequest])
_AT_A_TIME: Final = 256
"""Pydantic's objects for a hundred thousand items would be in memory together."""


def check_items(
    given: Sequence[Any], prompting: Prompting | None, start: int = 0
) -> Iterator[tuple[int, ItemRow | None, list[Fault]]]:
    """Each item's index, its row if it has a shape at all, and its faults. Indexes count from `start`.

    `prompting` is None where the task is not valid: prompts are then checked by themselves alone.
    """
    for at in range(0, len(given), _AT_A_TIME):
        part = given[at : at + _AT_A_TIME]
        for i, (raw, item, faults) in enumerate(_shaped(part), start + at):
            if item is None:
                yield i, None, faults
                continue
            custom_id = str(i) if item.custom_id is None else item.custom_id
            found = [] if prompting is None else [*_prompt_faults(item, prompting)]
            yield i, ItemRow(i, custom_id, item.image, _prompts_text(raw), _tile_text(raw)), found


def _shaped(part: Sequence[Any]) -> Iterator[tuple[Any, ItemRequest | None, list[Fault]]]:
    try:
        good = _ITEMS.validate_json(orjson.dumps(part), strict=True)
    except ValidationError:
        yield from ((raw, *_one(raw)) for raw in part)
    else:
        yield from ((raw, item, []) for raw, item in zip(part, good, strict=True))


def _one(raw: Any) -> tuple[ItemRequest | None, list[Fault]]:
    try:
        return _ITEM.validate_json(orjson.dumps(raw), strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, [Fault(pointer(detail["loc"]), text_of(detail)) for detail in details]


def _prompts_text(raw: Mapping[str, Any]) -> str | None:
    given = raw.get("prompts") or raw.get("exemplars")
    return orjson.dumps(given).decode() if given else None


def _tile_text(raw: Mapping[str, Any]) -> str | None:
    given = raw.get("tile")
    return None if given is None else orjson.dumps(given).decode()


def _prompt_faults(item: ItemRequest, prompting: Prompting) -> Iterator[Fault]:
    if item.exemplars is not None:
        yield from _exemplar_faults(item.exemplars, prompting)
    if item.tile is not None and prompting.type == "text":
        yield Fault("/tile", "an item of a text job is not cut into windows")
    if prompting.type != "prompted":
        if item.prompts is not None:
            yield Fault("/prompts", f"an item of {_A_JOB[prompting.type]} takes no prompts")
    elif item.prompts:
        yield from prompt_faults(item.prompts, prompting.box_format)
        yield from () if prompting.earlier_masks else _named_masks(item.prompts)
        yield from masks_in_windows(item.prompts) if prompting.tiled or item.tile is not None else ()
    elif item.prompts is not None or not prompting.shared:
        yield Fault("/prompts", "an item of a prompted job needs at least one prompt")


def masks_in_windows(prompts: Sequence[Prompt]) -> Iterator[Fault]:
    """Prompts that no image that is cut into windows takes."""
    for i, prompt in enumerate(prompts):
        for name in ("mask", "mask_from"):
            if getattr(prompt, name, None) is not None:
                yield Fault(f"/prompts/{i}/{name}", "an image that is cut into windows (`tile`) takes points and boxes")


def _named_masks(prompts: Sequence[PromptRequest]) -> Iterator[Fault]:
    for i, prompt in enumerate(prompts):
        if prompt.mask_from is not None:
            yield Fault(f"/prompts/{i}/mask_from", "is for items in the body of a request: give the mask itself here")


_A_JOB: Final = {"auto": "an automatic job", "prompted": "a prompted job", "text": "a text job"}


def _exemplar_faults(exemplars: Sequence[Exemplar], prompting: Prompting) -> Iterator[Fault]:
    if prompting.type != "text":
        yield Fault("/exemplars", f"an item of {_A_JOB[prompting.type]} takes no exemplars")
        return
    for i, exemplar in enumerate(exemplars):
        problem = exemplar_problem(exemplar, prompting.phrases, prompting.box_format)
        if problem is not None:
            yield Fault(f"/exemplars/{i}/{problem[0]}", problem[1])


def prompt_faults(prompts: Sequence[Prompt], box_format: BoxFormat) -> Iterator[Fault]:
    """Prompts without an id get their index as id."""
    seen: set[str] = set()
    for i, prompt in enumerate(prompts):
        name = prompt.id or str(i)
        if name in seen:
            yield Fault(f"/prompts/{i}/id", f"{name!r} is the id of an earlier prompt")
        seen.add(name)
        problem = None if prompt.box is None else box_problem(prompt.box, box_format)
        if problem is not None:
            yield Fault(f"/prompts/{i}/box", problem)
