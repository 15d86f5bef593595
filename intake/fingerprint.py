"""The fingerprint of a result. Two results of a tenant with the same fingerprint have the same masks."""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from db.bands import Bands
from db.image_page import page_of
from db.object_uri import split_uri
from db.states import Depth
from db.web_image import is_web, unsigned
from model.spec import TASK, TILE, Task, Tiling

_RULES: Final = 2
"""Raise it with any change that gives another result for the same bytes, model and task, for example in a decoder.

2: results know where on the ground their image is.
"""
_BYTES: Final = 16


class Model(NamedTuple):
    """What computed a result, as the result names it."""

    name: str
    revision: str
    precision: str


def fingerprint(
    tag: str,
    *,
    tenant: str,
    image: str,
    model: Model,
    task: Task,
    depth: Depth,
    bands: Bands | None,
    tile: Literal["auto"] | Tiling | None = None,
    rules: int = _RULES,
) -> bytes:
    """Of the result of an object. `tag` changes with the object's content."""
    of = [rules, tenant, _place(image), tag, model.name, model.revision, model.precision, depth.value]
    of += [] if bands is None else [bands]
    digest = hashlib.sha256(json.dumps(of).encode())
    digest.update(TASK.dump_json(task))
    if tile is not None:
        digest.update(b"auto" if tile == "auto" else b"%d %d" % (tile.size, tile.shared))
    return digest.digest()[:_BYTES]


def is_of(
    stored: bytes,
    tag: str,
    *,
    tenant: str,
    image: str,
    model: Model,
    task: Task,
    depth: Depth,
    bands: Bands | None,
    tile: Literal["auto"] | Tiling | None = None,
) -> bool:
    """Whether a stored result was made from the object with this tag, by the rules of any release."""
    by_rules = partial(
        fingerprint, tag, tenant=tenant, image=image, model=model, task=task, depth=depth, bands=bands, tile=tile
    )
    return any(by_rules(rules=rules) == stored for rules in range(1, _RULES + 1))


def task_of(task: Mapping[str, Any], given: Any) -> Task:
    """A job's task with the prompts or exemplars of one item. `tile` is no part of it: see `tile_of`."""
    task = {key: value for key, value in task.items() if key != "tile"}
    name = "exemplars" if task["type"] == "text" else "prompts"
    return TASK.validate_python(task if given is None else {**task, name: given})


def tile_of(task: Mapping[str, Any], own: Any) -> Literal["auto"] | Tiling | None:
    """How an item is cut into windows: as it says itself, else as its job's task does. None: not at all."""
    given = task.get("tile") if own is None else own
    return None if given is None else TILE.validate_python(given)


def _place(image: str) -> list[str]:
    """The object, whichever version of it and however its URL is signed: the tag says whether it is the same."""
    page = page_of(image)
    named = [] if page is None else [f"page {page}"]
    if is_web(image):
        return [unsigned(image), *named]
    stored = split_uri(image)
    return [stored.bucket, stored.key, *named]
