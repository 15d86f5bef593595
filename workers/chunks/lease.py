"""Claim a chunk, keep its lease alive, give it back. The fence that a claim got guards every later write."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db.bands import Bands, bands_of
from db.engine import DATABASE_ERRORS
from db.queues import TILED
from db.statements import lease as sql
from db.statements.bound import Bound
from db.statements.leader import wake_dispatcher
from db.statements.lease import Fence
from db.states import Depth, JobState
from workers.testing import crash_points

log = logging.getLogger(__name__)

_STOP_SECONDS = 2.0
_PARKED_SECONDS = 60.0
"""The leader of an older release releases nothing: then this ends the rest."""
_CROWDED_SECONDS = 600.0
"""The same. There may be very many such chunks, and each one that looks in vain costs a claim."""
_GIVE_BACK_FOR = 20.0
_GIVE_BACK_LEAVING = 3.0
"""After SIGTERM this is the longest wait for a database that is away. Then the lease runs out."""


class LeaseLost(Exception):
    """The chunk has another fence now. The transaction is rolled back."""


@dataclass(frozen=True)
class Item:
    """One image of a claimed chunk that has no result yet. A suspect was in flight when a worker died."""

    index: int
    image: str
    prompts: Any
    suspect: bool
    tile: Any = None
    """How it is cut into windows; of a tile its window."""


@dataclass(frozen=True)
class Claim:
    """A chunk that this process holds."""

    fence: Fence
    attempt: int
    tenant: str
    model: str
    precision: str | None
    task: dict[str, Any]
    prompts: Any
    """For each item that has none of its own."""
    depth: Depth
    bands: Bands | None
    tiled: bool
    """Whether it may have items that are segmented by windows."""
    plan: dict[str, Any] | None
    """Of a job of tiles: what is to be known of the image."""
    reuse: bool
    places: Sequence[str] | None
    """What the tenant may use, as its list stands now. None: whatever the installation allows."""
    reasons: dict[str, int]
    traceparent: str | None
    """Of the request that submitted the job. It is on the job's row, because a message that is sent again has none."""
    queue_ms: float
    items: list[Item]
    began: float = field(default_factory=time.monotonic)
    lost: threading.Event = field(default_factory=threading.Event)
    """Set once somebody else holds the chunk, or once the lease could not be renewed in time."""


def claim(engine: Engine, job_id: UUID, chunk_no: int, worker: str, lease_seconds: float) -> Claim | None:
    """ready | dispatched → leased. None: another worker has the chunk, or nobody is to work on it."""
    statement = sql.claim(job_id, chunk_no, worker=worker, lease_seconds=lease_seconds)
    found = _claim(engine, statement)
    if isinstance(found, _JobNotStarted):
        found = _claim(engine, statement, start=job_id)
    if not isinstance(found, _Claimed):
        return None
    row = found.chunk
    waited = (time.time() - (row.dispatched_at or row.created_at).timestamp()) * 1000
    return Claim(
        fence=Fence(job_id, chunk_no, row.fence),
        attempt=row.attempts,
        tenant=row.tenant_id,
        model=row.model,
        precision=row.precision,
        task=row.task,
        prompts=row.prompts,
        depth=Depth(row.input.get("depth") or Depth.AUTO),
        bands=bands_of(row.input.get("bands")),
        tiled=row.protocol >= TILED and row.tile_of is None,
        plan=None if row.tile_of is None else row.input,
        reuse=row.reuse,
        places=row.places,
        reasons=dict(row.reasons),
        traceparent=row.traceparent,
        queue_ms=max(0.0, round(waited, 3)),
        items=[Item(*item) for item in found.missing],
    )


@dataclass(frozen=True)
class _Claimed:
    """The claim's row, and the rows of the items it has to work on."""

    chunk: Any
    missing: Sequence[Any]


class _JobNotStarted:
    """The chunk's job is pending. A claim has to start it first, because a job is locked before its chunks."""


class _Refused:
    """Another worker has the chunk, or nobody is to work on it."""


def _claim(engine: Engine, statement: Bound, start: UUID | None = None) -> _Claimed | _JobNotStarted | _Refused:
    """One transaction: start the job `start`, if given, then claim the chunk."""
    with engine.connect() as connection:  # without a commit everything is rolled back
        if start is not None:
            connection.execute(*sql.start_job(start))
        row = connection.execute(*statement).one_or_none()
        if row is None:
            return _Refused()
        if row.job_state is JobState.PENDING:
            return _JobNotStarted()
        missing = connection.execute(*sql.missing_items(row.job_id, lo=row.lo, hi=row.hi)).all()
        connection.commit()
    return _Claimed(row, missing)


def give_back(engine: Engine, fence: Fence, leaving: threading.Event) -> bool:
    """leased → ready without a charge. Retries while the database is away. False: the lease was lost."""
    return _given_back(engine, sql.give_back(fence), fence, leaving)


def park(engine: Engine, fence: Fence, leaving: threading.Event, crowded: bool = False) -> bool:
    """The same for a chunk whose missing items all wait for their tiles. It rests until some have ended.

    `crowded`: none has tiles yet, because too many images of the job are under way. It rests until one has ended.
    """
    seconds = _CROWDED_SECONDS if crowded else _PARKED_SECONDS
    return _given_back(engine, sql.park(fence, seconds_at_most=seconds), fence, leaving)


def _given_back(engine: Engine, statement: Bound, fence: Fence, leaving: threading.Event) -> bool:
    started = time.monotonic()
    while True:
        try:
            with engine.begin() as connection:
                held = connection.execute(*statement).one_or_none() is not None
                connection.execute(*wake_dispatcher())
            return held
        except DATABASE_ERRORS:
            patience = _GIVE_BACK_LEAVING if leaving.is_set() else _GIVE_BACK_FOR
            if time.monotonic() - started > patience:
                log.exception("could not give chunk %s back: its lease runs out instead", fence)
                return False
            leaving.wait(0.5)
            time.sleep(0.1)


class LeaseKeeper:
    """A thread that renews the leases of this process three times in their length, while the pipeline is healthy."""

    def __init__(self, engine: Engine, lease_seconds: float, healthy: Callable[[], bool]) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._healthy = healthy
        self._changed = threading.Condition()
        self._claims: dict[Fence, tuple[Claim, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Waits a little for a renewal under way."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def add(self, claim: Claim) -> None:
        with self._changed:
            self._claims[claim.fence] = (claim, time.monotonic())

    def remove(self, claim: Claim) -> None:
        with self._changed:
            self._claims.pop(claim.fence, None)
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until no claim is kept. Chunks give their leases back when the worker stops."""
        with self._changed:
            self._changed.wait_for(lambda: not self._claims, seconds)

    def held(self) -> list[Claim]:
        """The claims that are kept now."""
        with self._changed:
            return [claim for claim, _ in self._claims.values()]

    def _loop(self) -> None:
        while not self._stop.wait(self._lease_seconds / 3):
            with self._changed:
                claims = list(self._claims.values())
            for claim, renewed in claims:
                self._keep(claim, renewed)

    def _keep(self, claim: Claim, renewed: float) -> None:
        started = time.monotonic()
        try:
            crash_points.reach("renewing", claim.fence.job_id)
            if self._healthy() and not self._renew(claim):
                claim.lost.set()
                return
            renewed = started if self._healthy() else renewed
        except DATABASE_ERRORS as error:
            log.warning("heartbeat of chunk %s failed: %s", claim.fence, error)
        except Exception:  # the other leases have to be renewed
            log.exception("heartbeat of chunk %s failed", claim.fence)
        if time.monotonic() - renewed > self._lease_seconds:
            claim.lost.set()  # the reaper may have given the chunk to another worker
        with self._changed:
            if claim.fence in self._claims:
                self._claims[claim.fence] = (claim, renewed)

    def _renew(self, claim: Claim) -> bool:
        with self._engine.begin() as connection:
            renewal = sql.renew(claim.fence, lease_seconds=self._lease_seconds)
            return connection.execute(*renewal).one_or_none() is not None
