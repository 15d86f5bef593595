"""One output: its files format by format, one after another, then the manifest.

A file that is whole in the bucket is recorded, and the next writer goes on behind it. The name of a file holds the
writer's fence, so that no two writers write the same object.
"""

import logging
from collections.abc import Callable

from db.ids import show_job_id
from db.output import MANIFEST, shard_name
from db.statements import jobs as job_sql
from db.statements.output import Shard
from exports.format import FileTooLarge, Format
from exports.pages import NoSuchJob, Source, open_source
from exports.table import FORMATS
from workers.dispatcher.output.held import Held, Lost
from workers.dispatcher.output.leftovers import remove_leftovers
from workers.dispatcher.output.manifest import manifest
from workers.dispatcher.output.shards import Cuts
from workers.dispatcher.output.store import Store
from workers.dispatcher.output.upload import Upload
from workers.testing import crash_points

log = logging.getLogger(__name__)


class Writer:
    """Writes one held output. `yields` says whether to stop after a file, so that another tenant's can go on."""

    def __init__(self, held: Held, store: Store, shard_bytes: int, yields: Callable[[], bool]) -> None:
        self._held = held
        self._store = store
        self._limit = shard_bytes
        self._yields = yields
        self._written = 0

    async def write(self) -> bool:
        """False: there is more to write. Raises Lost, StoreFailed, or what the database raises."""
        recorded = await self._held.shards()
        if self._held.fence > 1:
            await remove_leftovers(self._store, self._held, {shard.name for shard in recorded})
        try:
            source = await open_source(self._held.reader, self._held.tenant, self._held.job_id)
            for name in self._held.formats:
                last = next((shard for shard in reversed(recorded) if shard.format == name), None)
                if not await self._write_format(name, source, last):
                    return False
        except NoSuchJob as error:
            raise Lost from error
        await self._publish()
        return True

    async def _write_format(self, name: str, source: Source, last: Shard | None) -> bool:
        """The files of a format behind the last that is recorded, at least one. False: there are more."""
        cuts = Cuts(self._held.reader, self._held.job_id, self._held.n_items, self._limit)
        start, number = (0, 0) if last is None else (last.stop, last.number + 1)
        while number == 0 or start < self._held.n_items:
            if self._written and self._yields():
                return False
            shard = await self._write_shard(name, source, cuts, start, number)
            start, number = shard.stop, number + 1
        return True

    async def _write_shard(self, name: str, source: Source, cuts: Cuts, start: int, number: int) -> Shard:
        format = FORMATS[name]
        file = shard_name(name, number, self._held.fence, format.suffix)
        stop = await cuts.stop(start)
        while (upload := await self._upload(file, format, source, start, stop)) is None:
            stop = cuts.too_large(start, stop)
        cuts.was(upload.size)
        crash_points.reach("uploaded", self._held.job_id)
        shard = Shard(name, number, start, stop, file, upload.size, upload.sha256)
        await self._record(shard)
        self._written += 1
        log.info("%s: %s, %d bytes", show_job_id(self._held.job_id), file, upload.size)
        return shard

    async def _upload(self, file: str, format: Format, source: Source, start: int, stop: int) -> Upload | None:
        """None: it would be larger than the limit, and holds more than one item."""
        upload = Upload(self._store, self._held.bucket, self._held.folder + file, format.media_type)
        parts = format.parts(Source(source.reader, source.tenant, source.job_id, source.job, start, stop))
        try:
            async for part in parts:
                await upload.write(part)
                if upload.size > self._limit and stop - start > 1:
                    await upload.abort()
                    return None
            await upload.close()
        except FileTooLarge:
            await upload.abort()
            return None
        except BaseException:
            await upload.abort()
            raise
        finally:
            await parts.aclose()
        return upload

    async def _record(self, shard: Shard) -> None:
        try:
            await self._held.record(shard)
        except Lost:
            await self._store.call("delete_object", Bucket=self._held.bucket, Key=self._held.folder + shard.name)
            raise

    async def _publish(self) -> None:
        rows = await self._held.reader.all(job_sql.job(self._held.tenant, self._held.job_id))
        if not rows:
            raise Lost
        place = {name: i for i, name in enumerate(self._held.formats)}
        shards = sorted(await self._held.shards(), key=lambda shard: (place[shard.format], shard.number))
        crash_points.reach("publishing", self._held.job_id)
        file = Upload(self._store, self._held.bucket, self._held.folder + MANIFEST, "application/json")
        await file.write(manifest(self._held.uri, rows[0], shards))
        await file.close()
        crash_points.reach("published", self._held.job_id)
        await self._held.complete()
