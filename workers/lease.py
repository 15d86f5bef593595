"""Claim a chunk, keep its lease alive, give it back. The fence that a claim got guards every later write."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.statements import lease as sql
from db.statements.lease import Fence
from db.statements.stop import wake_dispatcher

log = logging.getLogger(__name__)

_GIVE_BACK_FOR = 20.0


@dataclass(frozen=True)
class Item:
    """One image of a claimed chunk that has no result yet. A suspect was in flight when a worker died."""

    index: int
    image: str
    prompts: Any
    suspect: bool


@dataclass(frozen=True)
class Claim:
    """A chunk that this process holds, as its one guarded UPDATE returned it."""

    fence: Fence
    attempt: int
    model: str
    precision: str | None
    task: dict[str, Any]
    reasons: dict[str, int]
    queue_ms: float
    items: list[Item]
    lost: threading.Event = field(default_factory=threading.Event)
    """Set once a write or a heartbeat found that somebody else holds the chunk, or nobody could be asked in time."""


def claim(engine: Engine, job_id: UUID, chunk_no: int, worker: str, lease_seconds: float) -> Claim | None:
    """ready | dispatched → leased. None: another has it, or it is not to be worked on; forget the message."""
    with engine.begin() as connection:
        connection.execute(sql.start_job(job_id))
        row = connection.execute(sql.claim(job_id, chunk_no, worker, lease_seconds)).one_or_none()
        if row is None:
            connection.rollback()  # takes back the job's start
            return None
        missing = connection.execute(sql.missing_items(job_id, row.lo, row.hi)).all()
    waited = (time.time() - (row.dispatched_at or row.created_at).timestamp()) * 1000
    return Claim(
        fence=Fence(job_id, chunk_no, row.fence),
        attempt=row.attempts,
        model=row.model,
        precision=row.precision,
        task=row.task,
        reasons=dict(row.reasons),
        queue_ms=max(0.0, round(waited, 3)),
        items=[Item(index, image, prompts, suspect) for index, image, prompts, suspect in missing],
    )


def give_back(engine: Engine, fence: Fence) -> bool:
    """leased → ready without a charge; retries while the database is away. False: it is no longer ours to give."""
    until = time.monotonic() + _GIVE_BACK_FOR
    while True:
        try:
            with engine.begin() as connection:
                held = connection.execute(sql.give_back(fence)).one_or_none() is not None
                connection.execute(wake_dispatcher())
            return held
        except DBAPIError:
            if time.monotonic() > until:
                log.exception("could not give chunk %s back: its lease runs out instead", fence)
                return False
            time.sleep(0.5)


class LeaseKeeper:
    """One thread that renews every lease of this process each third of it, as long as the pipeline is healthy."""

    def __init__(self, engine: Engine, lease_seconds: float, healthy: Callable[[], bool]) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._healthy = healthy
        self._lock = threading.Lock()
        self._claims: dict[Fence, tuple[Claim, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a renewal under way is waited for."""
        self._stop.set()
        self._thread.join(self._lease_seconds)

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims[claim.fence] = (claim, time.monotonic())

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._claims.pop(claim.fence, None)

    def _loop(self) -> None:
        while not self._stop.wait(self._lease_seconds / 3):
            with self._lock:
                claims = list(self._claims.values())
            for claim, renewed in claims:
                self._keep(claim, renewed)

    def _keep(self, claim: Claim, renewed: float) -> None:
        started = time.monotonic()
        try:
            if self._healthy() and not self._renew(claim):
                claim.lost.set()
                return
            renewed = started if self._healthy() else renewed
        except DBAPIError as error:
            log.warning("heartbeat of chunk %s failed: %s", claim.fence, error)
        if time.monotonic() - renewed > self._lease_seconds:
            claim.lost.set()  # nobody could be asked: the reaper may have given it to another
        with self._lock:
            if claim.fence in self._claims:
                self._claims[claim.fence] = (claim, renewed)

    def _renew(self, claim: Claim) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(sql.renew(claim.fence, self._lease_seconds)).one_or_none() is not None
