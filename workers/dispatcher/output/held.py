"""An output that a writer of this process holds: its lease, its fence, and what is recorded under them."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from db.engine import DATABASE_ERRORS
from db.object_uri import split_uri
from db.output import folder_uri
from db.statements import output as sql
from db.statements.output import Shard
from exports.pages import Reader

log = logging.getLogger(__name__)


class Lost(Exception):
    """Another writer has the output, or its job is deleted."""


@dataclass(frozen=True)
class Held:
    """The row as it was claimed."""

    reader: Reader
    lease_seconds: float
    job_id: UUID
    tenant: str
    fence: int
    tries: int
    uri: str
    formats: Sequence[str]
    n_items: int
    places: Sequence[str] | None
    """What the tenant may use, as its list stands now."""

    @property
    def bucket(self) -> str:
        return split_uri(self.uri).bucket

    @property
    def folder(self) -> str:
        """The key below which all of this job's files are."""
        return split_uri(folder_uri(self.uri, self.job_id)).key

    async def shards(self) -> list[Shard]:
        """The files that are recorded."""
        return [Shard(**row._mapping) for row in await self.reader.all(sql.shards(self.job_id))]

    async def record(self, shard: Shard) -> None:
        """Raises Lost."""
        added = sql.add_shard(self.job_id, self.fence, shard, lease_seconds=self.lease_seconds)
        if not await self.reader.all(added):
            raise Lost

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises Lost."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            try:
                if not await self.reader.all(sql.renew(self.job_id, self.fence, lease_seconds=self.lease_seconds)):
                    raise Lost
                renewed = time.monotonic()
            except DATABASE_ERRORS as error:
                if time.monotonic() - renewed > self.lease_seconds:
                    raise Lost from error
                log.warning("the lease of an output was not renewed, trying again: %s", error)

    async def complete(self) -> None:
        """Raises Lost."""
        if not await self.reader.all(sql.complete(self.job_id, self.fence)):
            raise Lost

    async def is_deleted(self) -> bool:
        return not await self.reader.all(sql.is_there(self.job_id))


async def claim(reader: Reader, job_id: UUID, holder: str, lease_seconds: float) -> Held | None:
    """None: somebody else was faster."""
    rows = await reader.all(sql.claim(job_id, holder, lease_seconds=lease_seconds))
    if not rows:
        return None
    row = rows[0]
    return Held(
        reader=reader,
        lease_seconds=lease_seconds,
        job_id=job_id,
        tenant=row.tenant_id,
        fence=row.fence,
        tries=row.tries,
        uri=row.uri,
        formats=row.formats,
        n_items=row.n_items,
        places=row.places,
    )
