"""Keyset pages: `page_size`, and a `page_token` that says where the next page begins."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Query

from api.http.numbers import INTEGER

PageSize = Annotated[int, Query(ge=1, le=1000, description="The most entries of a page"), INTEGER]
_TOKEN = "`next_page_token` of the page before"
# Every text that matches a pattern is a valid token. The greatest index is the greatest int4.
JobToken = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$", description=_TOKEN)]
IndexToken = Annotated[str | None, Query(pattern="^[0-7][0-9a-f]{7}$", description=_TOKEN)]


def read_id(token: str | None) -> UUID | None:
    """The last job of the page before, by a JobToken."""
    return None if token is None else UUID(hex=token)


def read_index(token: str | None) -> int:
    """The first index of the page, by an IndexToken."""
    return 0 if token is None else int(token, 16)


def next_token(page: Sequence[object], size: int, at: UUID | int | None) -> str | None:
    """None if the page was not full, because the list ends there. `at` is the last job or the next index."""
    if len(page) < size or at is None:
        return None
    return at.hex if isinstance(at, UUID) else index_token(at)


def index_token(index: int) -> str:
    """The IndexToken of a page that begins with this index."""
    return f"{index:08x}"
