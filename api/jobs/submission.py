"""Bytes of a POST /v1/jobs → a valid `Submission`, or its errors with a pointer to each field. Pure.

The job without its items is validated first, then the items a few at a time. Otherwise pydantic's objects and errors
for a hundred thousand items would be in memory together.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from api.errors import MAX_ERRORS_SHOWN
from api.http.json_body import parse_object
from api.jobs.item_spool import ItemSpool
from api.jobs.schemas import Input, JobRequest, OutputRequest, PromptedTask
from api.refusals import BucketNotAllowed, FieldError, HostNotAllowed, InvalidBody, UnknownModel
from api.webhooks.schemas import WebhookRequest
from db.allow_list import AllowList
from db.object_uri import UriError
from db.web_image import host_allowed, is_web, web_image
from db.web_url import web_url
from intake.item import ItemRow, Prompting, check_items, masks_in_windows, prompt_faults
from intake.messages import body_pointer, text_of
from model.spec import Automatic, TextQuery

_REQUEST = TypeAdapter(JobRequest)
_MAX_SHARED_PROMPTS = 256 * 1024
"""Bytes of JSON. Every claim of a chunk reads them."""


@dataclass(frozen=True)
class Rules:
    """What this installation allows this tenant. The first model is the default."""

    models: Sequence[str]
    max_items: int
    inputs: AllowList = field(default_factory=AllowList)
    outputs: AllowList = field(default_factory=AllowList)
    private_targets: bool = False
    https_images: tuple[str, ...] = ()
    """Hosts of https images. None allows none."""


@dataclass(frozen=True)
class Needs:
    """What a live worker must serve for a job to be accepted: none of these tasks is there by default."""

    model: str
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """A valid job. `task` and prompts are stored as the client sent them; the worker adds the defaults."""

    name: str | None
    labels: dict[str, str]
    model: str
    precision: str | None
    priority: int
    task: dict[str, Any]
    input: dict[str, Any]
    deadline: datetime | None
    max_failure_ratio: float | None
    reuse: bool
    prompts: list[Any] | None  # for each item that has none of its own
    output: OutputRequest | None
    webhook: WebhookRequest | None
    items: Collection[ItemRow] | None  # None: the leader reads the prefix or the manifest
    any_tiles: bool  # whether an item has `tile` of its own
    needs: Needs

    @property
    def prompted(self) -> bool:
        return bool(self.task["type"] == "prompted")

    @property
    def tiled(self) -> bool:
        return self.task.get("tile") is not None


@dataclass(frozen=True)
class DryRun:
    """The outcome of `validate_only`."""

    n_items: int | None  # None: a prefix or a manifest, or no readable list
    n_invalid: int
    errors: Sequence[FieldError]
    webhook: WebhookRequest | None = None
    needs: Needs | None = None


@dataclass
class Findings:
    """The errors of a body. All are counted, and the first ones are kept."""

    errors: list[FieldError] = field(default_factory=list)
    n_errors: int = 0
    kinds: set[type[InvalidBody]] = field(default_factory=set)
    bad_items: set[int] = field(default_factory=set)

    def add(
        self,
        at: str,
        detail: str,
        *,
        item: int | None = None,
        kind: type[InvalidBody] = InvalidBody,
        first: bool = False,
    ) -> None:
        self.n_errors += 1
        self.kinds.add(kind)
        if item is not None:
            self.bad_items.add(item)
        if first or len(self.errors) < MAX_ERRORS_SHOWN:
            self.errors.insert(0 if first else len(self.errors), {"pointer": at, "detail": detail})

    def refusal(self) -> InvalidBody:
        """The exception. Its class is that of the errors, if they all have the same."""
        kind = next(iter(self.kinds)) if len(self.kinds) == 1 else InvalidBody
        return kind(self.errors, self.n_errors)


def read_submission(body: bytes, rules: Rules) -> Submission | DryRun:
    """Raises InvalidBody or a subclass, or BodyTooLarge. With `validate_only` errors are returned instead."""
    raw = parse_object(body)
    found = Findings()
    given = _items_given(raw)
    request = read_job(raw, given, rules, found)
    rows = None if given is None else _rows(given, request, rules, found)
    if raw.get("validate_only") is True:
        n_items = None if given is None else len(given)
        return dry_run(request, rules, n_items, len(found.bad_items), found.errors, any_prompts(rows))
    if request is None or found.errors:
        raise found.refusal()
    return submission(request, raw, rules, rows, any_prompts(rows))


def any_prompts(rows: Sequence[ItemRow] | None) -> bool:
    """Whether an item has prompts or exemplars of its own."""
    return any(row.prompts is not None for row in rows or ())


def any_tiles(rows: Collection[ItemRow] | None) -> bool:
    """Whether an item says itself how it is cut into windows."""
    return rows.any_tiles if isinstance(rows, ItemSpool) else any(row.tile is not None for row in rows or ())


def dry_run(
    request: JobRequest | None,
    rules: Rules,
    n_items: int | None,
    n_invalid: int,
    errors: Sequence[FieldError],
    prompts: bool,
) -> DryRun:
    if request is None:
        return DryRun(n_items, n_invalid, errors)
    return DryRun(n_items, n_invalid, errors, request.webhook, _needs(request, rules, prompts))


def _needs(request: JobRequest, rules: Rules, prompts: bool) -> Needs:
    model = request.model or rules.models[0]
    if request.task.type != "text":
        return Needs(model)
    return Needs(model, ("text", "text_exemplars") if prompts else ("text",))


def submission(
    request: JobRequest, raw: dict[str, Any], rules: Rules, rows: Collection[ItemRow] | None, prompts: bool
) -> Submission:
    """`prompts`: whether an item has prompts or exemplars of its own."""
    given = request.input
    more: dict[str, Any] = {} if given.depth is None else {"depth": given.depth}
    more |= {} if given.bands is None else {"bands": list(given.bands)}
    more |= {} if given.prompts is None else {"prompts": len(given.prompts)}
    return Submission(
        name=request.name,
        labels=request.labels,
        model=request.model or rules.models[0],
        precision=request.precision,
        priority=request.priority,
        task=raw["task"],
        input=_stored_input(given, rows) | more,
        deadline=request.deadline,
        max_failure_ratio=request.max_failure_ratio,
        reuse=request.reuse,
        prompts=raw["input"].get("prompts"),
        output=request.output,
        webhook=request.webhook,
        items=rows,
        any_tiles=any_tiles(rows),
        needs=_needs(request, rules, prompts),
    )


def _stored_input(given: Input, rows: Collection[ItemRow] | None) -> dict[str, Any]:
    if rows is not None:
        return {"items": len(rows)}
    return {"prefix": given.prefix, "glob": given.glob} if given.manifest is None else {"manifest": given.manifest}


def _items_given(raw: dict[str, Any]) -> list[Any] | None:
    given = raw.get("input")
    items = given.get("items") if isinstance(given, dict) else None
    return items if isinstance(items, list) else None


def read_job(raw: dict[str, Any], given: list[Any] | None, rules: Rules, found: Findings) -> JobRequest | None:
    """The job without its items, or None if it is not valid."""
    without = raw if given is None else {**raw, "input": {**raw["input"], "items": []}}
    try:
        request = _REQUEST.validate_json(orjson.dumps(without), strict=True)
    except ValidationError as error:
        add_all(error, found)
        return None
    if request.model is not None and request.model not in rules.models:
        detail = f"unknown model; served here: {', '.join(rules.models)} (MASKWORKS_MODELS sets them)"
        found.add("/model", detail, kind=UnknownModel)
    _check_input(request, raw, rules, found)
    if request.output is not None and (why := rules.outputs.refusal(request.output.uri)):
        found.add("/output/uri", why, kind=BucketNotAllowed)
    if request.webhook is not None:
        _check_webhook(request.webhook, rules, found)
    return request


def _check_webhook(webhook: WebhookRequest, rules: Rules, found: Findings) -> None:
    """Its form alone. Addresses are looked at when it is sent."""
    try:
        web_url(webhook.url, private=rules.private_targets)
    except UriError as error:
        found.add("/webhook/url", str(error))


def add_all(error: ValidationError, found: Findings) -> None:
    """What pydantic found."""
    for detail in error.errors(include_url=False, include_input=False):
        found.add(body_pointer(detail), text_of(detail))


def _check_input(request: JobRequest, raw: dict[str, Any], rules: Rules, found: Findings) -> None:
    given = request.input
    if [given.items, given.manifest, given.prefix].count(None) != 2:
        found.add("/input", "give exactly one of items, manifest and prefix")
    elif given.prefix is None and given.glob is not None:
        found.add("/input/glob", "is for prefix alone")
    for name, uri in (("manifest", given.manifest), ("prefix", given.prefix)):
        if uri is not None and (why := rules.inputs.refusal(uri)):
            found.add(f"/input/{name}", why, kind=BucketNotAllowed)
    _check_shared_prompts(request, raw, found)


def _check_shared_prompts(request: JobRequest, raw: dict[str, Any], found: Findings) -> None:
    """Prompts for each image that has none of its own."""
    at, given, task = "/input/prompts", request.input, request.task
    if not isinstance(task, PromptedTask):
        if given.prompts is not None:
            found.add(at, f"{'a text' if task.type == 'text' else 'an automatic'} job takes no prompts")
    elif given.prompts is None:
        if given.prefix is not None:
            found.add(at, "a prompted job needs prompts for its images")
    elif not given.prompts:
        found.add(at, "must not be empty")
    elif len(orjson.dumps(raw["input"]["prompts"])) > _MAX_SHARED_PROMPTS:
        found.add(at, f"must take at most {_MAX_SHARED_PROMPTS} bytes: give longer ones with each item")
    else:
        for fault in prompt_faults(given.prompts, task.box_format):
            found.add(f"/input{fault.pointer}", fault.detail)
        for fault in masks_in_windows(given.prompts) if task.tile is not None else ():
            found.add(f"/input{fault.pointer}", fault.detail)


def _rows(given: list[Any], request: JobRequest | None, rules: Rules, found: Findings) -> list[ItemRow]:
    """The rows of all valid items. Errors go into `found`. Items beyond the limit are not read."""
    if not given:
        found.add("/input/items", "must not be empty")
    if len(given) > rules.max_items:
        detail = f"has {len(given)} items, but a job takes at most {rules.max_items}: submit several jobs"
        found.add("/input/items", detail, first=True)
        found.bad_items.update(range(rules.max_items, len(given)))
        given = given[: rules.max_items]
    prompting = None if request is None else prompting_of(request)
    rows: list[ItemRow] = []
    seen: set[str] = set()
    for i, row, faults in check_items(given, prompting):
        at = f"/input/items/{i}"
        for fault in faults:
            found.add(at + fault.pointer, fault.detail, item=i)
        if row is not None:
            _check_row(at, row, seen, rules, found)
            rows.append(row)
    return rows


def prompting_of(request: JobRequest) -> Prompting:
    task = request.task
    if isinstance(task, Automatic):
        return Prompting(task.type)
    phrases = frozenset(task.phrases) if isinstance(task, TextQuery) else frozenset[str]()
    tiled = not isinstance(task, TextQuery) and task.tile is not None
    shared = request.input.prompts is not None
    return Prompting(task.type, task.box_format, shared, phrases, earlier_masks=True, tiled=tiled)


def _check_row(at: str, row: ItemRow, seen: set[str], rules: Rules, found: Findings) -> None:
    if row.custom_id in seen:
        found.add(f"{at}/custom_id", f"{row.custom_id!r} is the id of an earlier item", item=row.item_index)
    seen.add(row.custom_id)
    check_image(at, row, rules, found)


def check_image(at: str, row: ItemRow, rules: Rules, found: Findings, line: str = "") -> None:
    """Whether the image's bucket or host is allowed. `line` goes before the text."""
    item = None if line else row.item_index
    if is_web(row.image):
        if why := _host_refusal(row.image, rules):
            found.add(f"{at}/image", line + why, item=item, kind=HostNotAllowed)
    elif why := rules.inputs.refusal(row.image):
        found.add(f"{at}/image", line + why, item=item, kind=BucketNotAllowed)


def _host_refusal(image: str, rules: Rules) -> str | None:
    url = web_image(image)
    if not rules.https_images:
        return "https images are not read here. MASKWORKS_HTTPS_IMAGES sets the hosts that are allowed"
    if not host_allowed(url, rules.https_images):
        return f"the host {url.authority} is not allowed here. MASKWORKS_HTTPS_IMAGES sets the allowed ones"
    return None
