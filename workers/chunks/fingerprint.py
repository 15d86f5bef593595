"""The fingerprint of a result. Two results of a tenant with the same fingerprint have the same masks."""

import hashlib
import json
from typing import Final

from db.object_uri import split_uri
from db.states import Depth
from db.web_image import is_web, unsigned
from model.spec import TASK, Task
from workers.pipeline.ticket import Model

_RULES: Final = 1
"""Raise it with any change that gives other masks for the same bytes, model and task, for example in a decoder."""
_BYTES: Final = 16


def fingerprint(tag: str, *, tenant: str, image: str, model: Model, task: Task, depth: Depth) -> bytes:
    """Of the result of an object. `tag` changes with the object's content."""
    of = [_RULES, tenant, _place(image), tag, model.name, model.revision_of(task.type), model.precision, depth.value]
    digest = hashlib.sha256(json.dumps(of).encode())
    digest.update(TASK.dump_json(task))
    return digest.digest()[:_BYTES]


def _place(image: str) -> list[str]:
    """The object, whichever version of it and however its URL is signed: the tag says whether it is the same."""
    if is_web(image):
        return [unsigned(image)]
    stored = split_uri(image)
    return [stored.bucket, stored.key]
