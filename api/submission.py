"""Bytes of a POST /v1/jobs → a `Submission` that holds, or the errors with a pointer to each field. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from api.errors import MAX_ERRORS_SHOWN, FieldError, InvalidBody, NotSupported, UnknownModel
from api.schemas import NOT_SUPPORTED, Item, JobRequest, PromptedTask
from model.spec import BoxFormat, Prompt, box_problem

_REQUEST = TypeAdapter(JobRequest)
ItemRow = tuple[int, str, str, str | None]
"""index, custom_id, image, prompts as JSON text."""


@dataclass(frozen=True)
class Rules:
    """What this installation allows; the first model is the default."""

    models: Sequence[str]
    max_items: int


@dataclass(frozen=True)
class Submission:
    """A valid job. `task` and the items' prompts are what the client gave: the worker resolves defaults."""

    name: str | None
    labels: dict[str, str]
    model: str
    precision: str | None
    priority: int
    task: dict[str, Any]
    input: dict[str, Any]
    deadline: datetime | None
    max_failure_ratio: float | None
    items: Sequence[ItemRow] | None  # None: the leader lists the prefix

    @property
    def prompted(self) -> bool:
        return bool(self.task["type"] == "prompted")


@dataclass(frozen=True)
class DryRun:
    """The outcome of `validate_only`."""

    n_items: int | None  # None: a prefix, or no readable list
    n_invalid: int
    errors: Sequence[FieldError]


def read_submission(body: bytes, rules: Rules) -> Submission | DryRun:
    """Raises InvalidBody, NotSupported or UnknownModel; under `validate_only` they are the answer instead."""
    raw = _parse(body)
    dry = raw.get("validate_only") is True
    try:
        submission = _read(body, raw, rules)
    except InvalidBody as error:
        if not dry:
            raise
        return _dry_run(raw, error.errors)
    return _dry_run(raw, ()) if dry else submission


def _parse(body: bytes) -> dict[str, Any]:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody([{"pointer": "", "detail": f"not valid JSON: {error}"}]) from error
    if not isinstance(raw, dict):
        raise InvalidBody([{"pointer": "", "detail": "must be a JSON object"}])
    if rb"\u0000" in body:
        for pointer in _nul_pointers(raw, ""):
            raise InvalidBody([{"pointer": pointer, "detail": "must not contain control characters"}])
    return raw


def _nul_pointers(value: Any, at: str) -> Iterator[str]:
    """Where a string holds U+0000, which Postgres can store in no text and no jsonb."""
    if isinstance(value, str) and "\0" in value:
        yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if isinstance(key, str) and "\0" in key:
            yield at
        yield from _nul_pointers(inner, _pointer(key, to=at))


def _read(body: bytes, raw: dict[str, Any], rules: Rules) -> Submission:
    try:
        request = _REQUEST.validate_json(body, strict=True)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False, include_input=False)) from error
    model = request.model or rules.models[0]
    if model not in rules.models:
        detail = f"unknown model; served here: {', '.join(rules.models)}"
        raise UnknownModel([{"pointer": "/model", "detail": detail}])
    errors = _input_errors(request, rules)
    if errors:
        raise InvalidBody(errors)
    return Submission(
        name=request.name,
        labels=request.labels,
        model=model,
        precision=request.precision,
        priority=request.priority,
        task=raw["task"],
        input=_input_given(request),
        deadline=request.deadline,
        max_failure_ratio=request.max_failure_ratio,
        items=None if request.input.items is None else _rows(request.input.items, raw["input"]["items"]),
    )


def _input_given(request: JobRequest) -> dict[str, Any]:
    if request.input.items is not None:
        return {"items": len(request.input.items)}
    return {"prefix": request.input.prefix, "glob": request.input.glob}


def _rows(items: Sequence[Item], raw: Sequence[dict[str, Any]]) -> list[ItemRow]:
    return [
        (i, _custom_id(i, item), item.image, orjson.dumps(given["prompts"]).decode() if item.prompts else None)
        for i, (item, given) in enumerate(zip(items, raw, strict=True))
    ]


def _custom_id(index: int, item: Item) -> str:
    return str(index) if item.custom_id is None else item.custom_id


def _refusal(details: Sequence[ErrorDetails]) -> InvalidBody:
    unsupported = [d for d in details if d["type"] == NOT_SUPPORTED]
    cls = NotSupported if unsupported else InvalidBody
    return cls([_field_error(d) for d in unsupported or details])


def _field_error(detail: ErrorDetails) -> FieldError:
    loc = list(detail["loc"])
    if loc[:1] == ["task"]:
        # Behind a discriminated union pydantic names the branch it took: no key of the body.
        loc = ["task", *loc[2:]] if len(loc) > 1 else ["task", "type"] if "union_tag" in detail["type"] else loc
    pointer = ""
    for key in loc:
        pointer = _pointer(key, to=pointer)
    return {"pointer": pointer, "detail": detail["msg"].removeprefix("Value error, ")}


def _pointer(key: str | int, *, to: str) -> str:
    return f"{to}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _input_errors(request: JobRequest, rules: Rules) -> list[FieldError]:
    given = request.input
    if (given.items is None) == (given.prefix is None):
        return [{"pointer": "/input", "detail": "give exactly one of items and prefix"}]
    if given.items is None:
        return _prefix_errors(request)
    if given.glob is not None:
        return [{"pointer": "/input/glob", "detail": "goes with prefix, not with items"}]
    if not given.items:
        return [{"pointer": "/input/items", "detail": "must not be empty"}]
    if len(given.items) > rules.max_items:
        return [{"pointer": "/input/items", "detail": f"has more than {rules.max_items} items"}]
    return list(_item_errors(given.items, request.task if isinstance(request.task, PromptedTask) else None))


def _prefix_errors(request: JobRequest) -> list[FieldError]:
    if isinstance(request.task, PromptedTask):
        return [{"pointer": "/input/prefix", "detail": "a prompted job needs items, each with its prompts"}]
    return []


def _item_errors(items: Sequence[Item], prompted: PromptedTask | None) -> Iterator[FieldError]:
    seen: set[str] = set()
    for i, item in enumerate(items):
        at, custom_id = f"/input/items/{i}", _custom_id(i, item)
        if custom_id in seen:
            yield {"pointer": f"{at}/custom_id", "detail": f"{custom_id!r} is the id of an earlier item"}
        seen.add(custom_id)
        if prompted and not item.prompts:
            yield {"pointer": f"{at}/prompts", "detail": "an item of a prompted job needs at least one prompt"}
        elif not prompted and item.prompts is not None:
            yield {"pointer": f"{at}/prompts", "detail": "an item of an automatic job takes no prompts"}
        elif prompted and item.prompts:
            yield from _prompt_errors(item.prompts, prompted.box_format, f"{at}/prompts")


def _prompt_errors(prompts: Sequence[Prompt], box_format: BoxFormat, at: str) -> Iterator[FieldError]:
    """A prompt without an id has its index for one."""
    seen: set[str] = set()
    for i, prompt in enumerate(prompts):
        name = prompt.id or str(i)
        if name in seen:
            yield {"pointer": f"{at}/{i}/id", "detail": f"{name!r} is the id of an earlier prompt"}
        seen.add(name)
        problem = None if prompt.box is None else box_problem(prompt.box, box_format)
        if problem is not None:
            yield {"pointer": f"{at}/{i}/box", "detail": problem}


def _dry_run(raw: dict[str, Any], errors: Sequence[FieldError]) -> DryRun:
    given = raw.get("input")
    items = given.get("items") if isinstance(given, dict) else None
    named = {e["pointer"].split("/")[3] for e in errors if e["pointer"].startswith("/input/items/")}
    return DryRun(
        n_items=len(items) if isinstance(items, list) else None,
        n_invalid=len(named),
        errors=errors[:MAX_ERRORS_SHOWN],
    )
