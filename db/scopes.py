"""What a key may do. A key without a list may do everything, also what later releases add."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """A part of the API. A route asks for one of them (`api.scopes`)."""

    JOBS_READ = "jobs:read"
    """Jobs, their items, masks, results and events; the models."""
    JOBS_WRITE = "jobs:write"
    """Submit, cancel, retry and delete jobs."""
    SEGMENT = "segment"
    """Calls for one image: its masks, or its embedding."""
    WEBHOOKS = "webhooks"
    """The secrets that sign webhooks, and sending them again."""
    ANNOTATIONS_READ = "annotations:read"
    """List and export annotations."""
    ANNOTATIONS_WRITE = "annotations:write"
    """Store and delete annotations."""


ALL: Final = frozenset(Scope)


class BadScopes(ValueError):
    """The text is no list of scopes."""


def read_scopes(text: str) -> frozenset[Scope]:
    """`jobs:read,segment` → scopes. Raises BadScopes."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(names - {scope.value for scope in Scope}):
        raise BadScopes(f"there is no scope {unknown[0]!r}: there are {', '.join(Scope)}")
    if not names:
        raise BadScopes(f"give at least one scope of {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def stored_scopes(names: Collection[str] | None) -> frozenset[Scope]:
    """As the database has them. Names of a later release are left out."""
    return ALL if names is None else frozenset(scope for scope in Scope if scope.value in names)
