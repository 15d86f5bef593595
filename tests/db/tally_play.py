"""A job played at random, and its counts two ways: as GET gives them, and by hand from every chunk row."""

import random
from collections import Counter
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, select, text, update

from db import endings
from db.ids import new_job_id
from db.statements import ingest, lease, reap, tally
from db.statements import jobs as sql
from db.states import FINAL_JOB_STATES, ChunkState, ItemReason, ItemState, JobReason, JobState
from db.tables import chunks, items, jobs
from tests.jobs import submit

N_ITEMS, SIZE = 40, 4


def counts(connection: Connection, job_id: UUID) -> tuple[dict[str, int], dict[str, int]]:
    """What GET of the job says: its counts, and its failures by reason."""
    row = connection.execute(*sql.job("default", job_id)).one()
    return (
        {s.value: getattr(row, s.value) for s in ItemState},
        {each["reason"]: each["count"] for each in row.failures or []},
    )


def by_hand(connection: Connection, job_id: UUID) -> tuple[dict[str, int], dict[str, int]]:
    """The same from every chunk row alone, item by item as a reader of items sees them."""
    job = connection.execute(select(jobs).where(jobs.c.id == job_id)).one()
    rows = connection.execute(select(chunks).where(chunks.c.job_id == job_id)).all()
    rest = "pending" if job.state not in FINAL_JOB_STATES else "expired" if job.state == "expired" else "cancelled"
    counted = Counter({s.value: 0 for s in ItemState})
    counted[rest] += job.n_items - sum(row.hi - row.lo for row in rows)  # listed, no chunk cut yet
    reasons: Counter[str] = Counter()
    for row in rows:
        counted.update(succeeded=row.n_ok, failed=row.n_err)
        without = {ChunkState.LEASED: "running", ChunkState.READY: "pending", ChunkState.DISPATCHED: "pending"}
        counted[without.get(row.state, rest)] += row.hi - row.lo - row.n_ok - row.n_err
        reasons.update(row.reasons)
    return dict(counted), dict(reasons)


def check(engine: Engine, job_id: UUID) -> dict[str, int]:
    with engine.connect() as connection:
        shown, expected = counts(connection, job_id), by_hand(connection, job_id)
        total = connection.execute(select(jobs.c.n_items).where(jobs.c.id == job_id)).scalar_one()
    assert shown == expected
    assert sum(shown[0].values()) == total
    return shown[0]


def add_tallies(engine: Engine, most: int = 1000) -> int:
    with engine.begin() as connection:
        added: int = connection.execute(*tally.add_tallies(most=most)).scalar_one()
    return added


def stop_for(engine: Engine, job_id: UUID, reason: JobReason) -> None:
    with engine.begin() as connection:
        endings.stop_job(connection, job_id, reason)


def finish(engine: Engine, job_id: UUID) -> None:
    with engine.begin() as connection:
        endings.finish_job(connection, job_id)


class Play:
    """One job, its workers, the reaper and the leader, in whatever order the seed says."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.random = random.Random(seed)
        self.engine = engine
        self.listed = seed % 2 == 0
        self.job = submit(engine, [f"s3://b/{i}" for i in range(N_ITEMS)], size=SIZE) if self.listed else self.listing()
        self.held: list[lease.Fence] = []
        self.tally: dict[lease.Fence, Counter[str]] = {}

    def listing(self) -> UUID:
        job_id = new_job_id()
        row = {"id": job_id, "tenant_id": "default", "state": JobState.INGESTING, "model": "null", "n_items": 0}
        with self.engine.begin() as connection:
            connection.execute(insert(jobs).values(row | {"task": {}, "input": {}}))
        return job_id

    def list_page(self) -> None:
        with self.engine.begin() as connection:
            n: int = connection.execute(select(jobs.c.n_items).where(jobs.c.id == self.job)).scalar_one()
            if self.listed or not connection.execute(*ingest.advance(self.job, n // SIZE, n_items=n + SIZE)).all():
                return
            rows = [
                {"job_id": self.job, "index": i, "custom_id": str(i), "image": "s3://b/k"} for i in range(n, n + SIZE)
            ]
            connection.execute(insert(items), rows)
            if n + SIZE >= N_ITEMS:
                connection.execute(*ingest.open_job(self.job, chunk_size=SIZE)).one()
                connection.execute(*ingest.cut_chunks(self.job))
                self.listed = True

    def claim(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(*lease.start_job(self.job))
            chunk_no = self.random.randrange(N_ITEMS // SIZE)
            row = connection.execute(*lease.claim(self.job, chunk_no, worker="w", lease_seconds=60)).one_or_none()
            if row is None:
                connection.rollback()
                return
        fence = lease.Fence(self.job, chunk_no, row.fence)
        self.held.append(fence)
        self.tally[fence] = Counter(row.reasons)

    def some(self) -> lease.Fence | None:
        return self.random.choice(self.held) if self.held else None

    def missing(self, connection: Connection, chunk_no: int) -> int:
        left = select(chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err)
        mine = left.where(chunks.c.job_id == self.job, chunks.c.chunk_no == chunk_no)
        missing: int = connection.execute(mine).scalar_one()
        return missing

    def record(self) -> None:
        fence = self.some()
        if fence is None:
            return
        with self.engine.begin() as connection:
            missing = self.missing(connection, fence.chunk_no)
            n_ok = self.random.randint(0, missing)
            reasons = self.tally[fence] + Counter(
                {
                    r.value: self.random.randint(0, (missing - n_ok) // 2)
                    for r in (ItemReason.TIMEOUT, ItemReason.INTERNAL)
                }
            )
            counts = lease.record(fence, lease_seconds=60, more_ok=n_ok, reasons=dict(reasons), inflight=[])
            if connection.execute(*counts).one_or_none() is None:
                self.held.remove(fence)
                return
            self.tally[fence] = reasons

    def complete(self) -> None:
        fence = self.some()
        if fence is None:
            return
        with self.engine.begin() as connection:
            missing = self.missing(connection, fence.chunk_no)
            reasons = dict(self.tally[fence])
            counts = lease.record(fence, lease_seconds=60, more_ok=missing, reasons=reasons, inflight=[])
            connection.execute(*counts).one_or_none()
            connection.execute(*lease.complete(fence)).one_or_none()
        self.held.remove(fence)

    def give_back(self) -> None:
        fence = self.some()
        if fence is None:
            return
        with self.engine.begin() as connection:
            connection.execute(*lease.give_back(fence)).one_or_none()
        self.held.remove(fence)

    def reap(self) -> None:
        """The lease of one chunk runs out: back to ready, or all that is missing fails."""
        fence = self.some()
        if fence is None:
            return
        with self.engine.begin() as connection:
            mine = update(chunks).where(chunks.c.job_id == self.job, chunks.c.chunk_no == fence.chunk_no)
            connection.execute(
                mine.where(chunks.c.state == "leased").values(lease_until=text("now() - interval '1 s'"))
            )
        with self.engine.begin() as connection:
            for row in connection.execute(*reap.expired_leases(limit=10)).all():
                if self.random.random() < 0.3 and self.untouched(connection, row.chunk_no):
                    dead = {"fence": row.fence, "attempt": 1, "reason": ItemReason.WORKER_LOST, "detail": "d"}
                    connection.execute(*reap.fail_items(row.job_id, row.chunk_no, index=None, **dead))
                    connection.execute(*reap.bury(row.job_id, row.chunk_no))
                else:
                    connection.execute(*reap.take_back(row.job_id, row.chunk_no, stalls=1, backoff_seconds=0.0))
        self.held.remove(fence)

    def untouched(self, connection: Connection, chunk_no: int) -> bool:
        """No result rows are written here, so only a chunk without any may have its missing items failed."""
        of_chunk = (chunks.c.job_id == self.job, chunks.c.chunk_no == chunk_no)
        return connection.execute(select(chunks.c.n_ok + chunks.c.n_err == 0).where(*of_chunk)).scalar_one()

    def finish(self) -> None:
        finish(self.engine, self.job)

    def add_tallies(self) -> None:
        add_tallies(self.engine, self.random.choice([1, 2, 3, 1000]))

    def step(self) -> None:
        often = [self.claim, self.claim, self.record, self.complete, self.complete, self.add_tallies]
        self.random.choice([*often, self.list_page, self.list_page, self.give_back, self.reap, self.finish])()
