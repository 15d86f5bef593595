"""Write outputs beside the leader's loop: a few at a time, in a thread with an event loop of its own.

A tenant with many outputs cannot hold up another: where one waits whose tenant has fewer in work, a writer stops after
its file, and goes on later.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from db.engine import DATABASE_ERRORS, async_engine
from db.statements import output as sql
from exports.pages import Reader
from workers.dispatcher.output.attempt import Attempt, end_tasks
from workers.dispatcher.output.held import Held, claim
from workers.dispatcher.output.store import Store
from workers.dispatcher.settings import Settings

log = logging.getLogger(__name__)

_STOP_SECONDS: Final = 5.0


class Outputs:
    """Begins outputs while this process leads. What another leader begins is fenced by leases of its own."""

    def __init__(self, settings: Settings, s3: Any, holder: str, leads: Callable[[], bool]) -> None:
        self._settings = settings
        self._s3 = s3
        self._holder = holder
        self._leads = leads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="outputs", daemon=True)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._in_work: Counter[str] = Counter()
        self._waiting: set[str] = set()
        self._served: dict[str, int] = {}
        self._turn = 0

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """There may be something to write."""
        with suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._asked.set)

    def stop(self) -> None:
        """Give back what is in work."""
        self._stopping = True
        self.ask()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        at_once = self._settings.outputs_at_once
        engine = async_engine(self._settings.database_url, pool_size=at_once + 1)
        reader = Reader(engine.execution_options(isolation_level="AUTOCOMMIT"), at_once + 1)
        store = Store(self._s3, at_once)
        while not self._stopping:
            try:
                if self._leads():
                    await self._round(reader, store)
            except DATABASE_ERRORS as error:
                log.warning("the database failed while outputs were looked for, trying again: %s", error)
            except Exception:
                log.exception("a round of outputs failed, trying again")
            await self._asked.wait()
            self._asked.clear()
        await end_tasks(list(self._tasks.values()))
        store.close()
        await engine.dispose()

    async def _round(self, reader: Reader, store: Store) -> None:
        """Begin what there is room for: of the tenant with the fewest in work, then of who has waited longest."""
        rows = await reader.all(sql.waiting_outputs(of_tenant=self._settings.outputs_at_once))
        found = [(row.tenant_id, row.job_id) for row in rows if row.job_id not in self._tasks]
        while (chosen := self._next(found)) is not None:
            found.remove(chosen)
            _, job_id = chosen
            held = await claim(reader, job_id, self._holder, self._settings.output_lease_seconds)
            if held is not None:
                self._begin(held, store)
        self._waiting = {tenant for tenant, _ in found}

    def _next(self, found: list[tuple[str, UUID]]) -> tuple[str, UUID] | None:
        """One place is never a tenant's that has all others: its bucket may be one that does not answer."""
        at_once = self._settings.outputs_at_once
        most = max(1, at_once - 1)
        free = [entry for entry in found if self._in_work[entry[0]] < most]
        if not free or len(self._tasks) >= at_once:
            return None
        return min(free, key=lambda entry: (self._in_work[entry[0]], self._served.get(entry[0], 0)))

    def _begin(self, held: Held, store: Store) -> None:
        self._turn += 1
        self._served[held.tenant] = self._turn
        self._in_work[held.tenant] += 1
        task = asyncio.create_task(Attempt(held, store, self._settings, lambda: self._yields(held.tenant)).run())
        self._tasks[held.job_id] = task
        task.add_done_callback(lambda _: self._ended(held))

    def _yields(self, tenant: str) -> bool:
        return any(self._in_work[other] < self._in_work[tenant] for other in self._waiting)

    def _ended(self, held: Held) -> None:
        del self._tasks[held.job_id]
        self._in_work[held.tenant] -= 1
        self._asked.set()
