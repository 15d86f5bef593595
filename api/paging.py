"""Keyset pages: `page_size`, and an opaque `page_token` that names the last row of the page before."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Query

from api.errors import InvalidParameter

PageSize = Annotated[int, Query(ge=1, le=1000, description="At most so many entries")]
PageToken = Annotated[str | None, Query(max_length=128, description="`next_page_token` of the page before")]


def write_token(last: UUID | int) -> str:
    text = last.hex if isinstance(last, UUID) else str(last)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_id(token: str | None) -> UUID | None:
    """The job that a token names. Raises InvalidParameter."""
    try:
        return None if token is None else UUID(hex=_decoded(token))
    except ValueError as error:
        raise InvalidParameter("page_token", "is not a token of this list") from error


def read_index(token: str | None) -> int | None:
    """The index that a token names. Raises InvalidParameter."""
    text = None if token is None else _decoded(token)
    # The page begins behind it, and that must be an index of Postgres too.
    if text is not None and not (text.isascii() and text.isdigit() and int(text) < 2**31 - 1):
        raise InvalidParameter("page_token", "is not a token of this list")
    return None if text is None else int(text)


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter("page_token", "is not a token of this list") from error


def next_token(page: Sequence[object], size: int, last: UUID | int | None) -> str | None:
    """None where the page was not full: the list ends there."""
    return write_token(last) if len(page) >= size and last is not None else None
