"""One writer's hold of an output, from the claim until it is complete, failed, put off, given back or lost."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from db.allow_list import output_list
from db.engine import DATABASE_ERRORS, is_about_data
from db.ids import show_job_id
from db.statements import output as sql
from db.states import OutputReason
from workers.dispatcher.output.held import Held, Lost
from workers.dispatcher.output.leftovers import remove_all
from workers.dispatcher.output.store import Store, StoreFailed
from workers.dispatcher.output.writer import Writer
from workers.dispatcher.settings import Settings

log = logging.getLogger(__name__)

_MAX_TRIES: Final = 10
"""Unexpected errors or deaths of writers without a new file between them, after which the output fails."""
_MAX_DETAIL: Final = 500


class Attempt:
    """Runs as a task of its own, and raises nothing. Cancelled, it gives the output back."""

    def __init__(self, held: Held, store: Store, settings: Settings, yields: Callable[[], bool]) -> None:
        self._held = held
        self._store = store
        self._settings = settings
        self._yields = yields
        self._shown = show_job_id(held.job_id)

    async def run(self) -> None:
        try:
            await self._try()
        except Lost:
            log.warning("the output of %s is not this writer's any more", self._shown)
        except DATABASE_ERRORS as error:  # the lease runs out
            log.warning("the database failed while the output of %s was written: %s", self._shown, error)

    async def _try(self) -> None:
        try:
            if (refusal := self._refusal()) is not None:
                await self._fail(*refusal)
            elif not await self._write():
                await self._give_back()
        except asyncio.CancelledError:
            await self._give_back()
        except StoreFailed as failure:
            await (self._fail if failure.for_good else self._put_off)(failure.reason, failure.detail)
        except Lost:
            if await self._held.is_deleted():
                await remove_all(self._store, self._held)
            raise
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                raise
            log.exception("the output of %s failed unexpectedly", self._shown)
            await self._put_off(OutputReason.INTERNAL, f"an unexpected {type(error).__name__}")

    def _refusal(self) -> tuple[OutputReason, str] | None:
        allowed = output_list(self._settings.output_buckets, self._held.places)
        if (why := allowed.refusal(self._held.uri)) is not None:
            return OutputReason.BUCKET_NOT_ALLOWED, why
        if self._held.tries > _MAX_TRIES:
            return OutputReason.INTERNAL, f"{_MAX_TRIES} tries ended unexpectedly; the dispatcher's log says where"
        return None

    async def _write(self) -> bool:
        """Write while the lease is kept. False: there is more to write. Raises what either of the two raises."""
        writer = Writer(self._held, self._store, self._settings.output_shard_bytes, self._yields)
        writing, keeping = asyncio.create_task(writer.write()), asyncio.create_task(self._held.keep())
        try:
            await asyncio.wait((writing, keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks((writing, keeping))
        if writing.cancelled():
            keeping.result()
        return writing.result()

    async def _give_back(self) -> None:
        await self._held.reader.all(sql.give_back(self._held.job_id, self._held.fence))

    async def _put_off(self, reason: OutputReason, detail: str) -> None:
        log.warning("the output of %s is put off: %s: %s", self._shown, reason, detail)
        held, patience = self._held, self._settings.output_patience_seconds
        later = sql.put_off(
            held.job_id, held.fence, reason=reason, detail=self._detail(detail), patience_seconds=patience
        )
        await held.reader.all(later)

    async def _fail(self, reason: OutputReason, detail: str) -> None:
        log.warning("the output of %s failed: %s: %s", self._shown, reason, detail)
        held = self._held
        await held.reader.all(sql.fail(held.job_id, held.fence, reason=reason, detail=self._detail(detail)))

    def _detail(self, detail: str) -> str:
        """As Postgres can store it."""
        text = f"{self._held.uri}: {detail}".replace("\0", "")[:_MAX_DETAIL]
        return text.encode(errors="replace").decode()


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel those that are not done, and wait for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
