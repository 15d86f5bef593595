"""Whose rows the API's statements may see: the second line of defence behind the `WHERE` of each statement.

Each transaction of the API begins with two settings, in the same round trip as its first statement: the role that
`db.api_role` gave policies to, and the tenants that were named. A statement that forgets to ask for the tenant finds no
row of another one. Both settings end with the transaction, so a pooler may share the connection.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from psycopg import AsyncCursor
from psycopg.pq import TransactionStatus

_seen: Final[ContextVar[tuple[str, ...]]] = ContextVar("tenants", default=())
_BEGIN: Final = "SELECT set_config('role', %s, true), set_config('maskworks.tenants', %s::text[]::text, true)"


def see(tenant: str) -> None:
    """From here on the statements of this request see the rows of this tenant."""
    _seen.set((tenant,))


@contextmanager
def seeing(tenants: Sequence[str]) -> Iterator[None]:
    """In the block statements see the rows of these tenants, and of no other."""
    before = _seen.set(tuple(tenants))
    try:
        yield
    finally:
        _seen.reset(before)


def cursor_as(role: str) -> type[AsyncCursor[Any]]:
    """A class of cursors whose transactions run as that role and see the rows of the tenants that were named."""

    class OwnRows(AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                return await super().execute(query, params, **options)
            # In autocommit the statements of a pipeline are one transaction.
            async with self.connection.pipeline():
                await AsyncCursor(self.connection).execute(_BEGIN, [role, list(_seen.get())])
                await super().execute(query, params, **options)
            return self

    return OwnRows
