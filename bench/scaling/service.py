"""The service's side: jobs and chunks in a real database, dispatched and counted by the service's own statements.

A chunk here has up to 256 images whatever its task, so that ten million images are forty thousand rows.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from bench.scaling.workload import SECONDS, Arrival
from db.endings import finish_job
from db.ids import new_job_id
from db.statements import dispatch, scaling, tally
from db.statements.ingest import cut_chunks
from workers.broker import URGENCIES
from workers.dispatcher.sender import urgency

MODEL: Final = "sam_vit_b"
_CHUNK: Final = 256
_SLOTS: Final = 2
_PER_SLOT: Final = 4
_PAIRS: Final = "SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:nos AS integer[])) AS u(job_id, chunk_no)"
_SUBMIT: Final = text(
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at) VALUES "
    "(:id, 'default', 'running', :model, jsonb_build_object('type', CAST(:task AS text)), '{}', :n, :size, now())"
)
_CLAIM: Final = text(
    "UPDATE chunks c SET state = 'leased', fence = fence + 1, attempts = attempts + 1, worker = 'w', "
    f"lease_until = now() + interval '1 day' FROM ({_PAIRS}) u WHERE c.job_id = u.job_id AND c.chunk_no = u.chunk_no"
)
_END: Final = text(
    "UPDATE chunks c SET state = 'done', n_ok = hi - lo, worker = NULL, lease_until = NULL "
    f"FROM ({_PAIRS}) u WHERE c.job_id = u.job_id AND c.chunk_no = u.chunk_no"
)
_GIVE_BACK: Final = text(
    "UPDATE chunks c SET state = 'ready', fence = fence + 1, dispatched_at = NULL, worker = NULL, lease_until = NULL "
    f"FROM ({_PAIRS}) u WHERE c.job_id = u.job_id AND c.chunk_no = u.chunk_no"
)
_DUE: Final = text("UPDATE jobs SET deadline = clock_timestamp() + make_interval(secs => :seconds) WHERE id = :job")
# What was shipped before: every four unfinished chunks want a worker, whatever they cost. Chunks as the service cuts
# them: a job has 64 or more, of at most 16 images.
_QUEUE_LENGTH: Final = text(
    "SELECT coalesce(ceil(sum((c.hi - c.lo) / least(16, greatest(1, ceil(j.n_items / 64.0)))) / 4), 0)::int "
    "FROM chunks c JOIN jobs j ON j.id = c.job_id "
    "WHERE j.state IN ('pending', 'running') AND c.state IN ('ready', 'dispatched', 'leased')"
)


@dataclass(eq=False)
class Job:
    """A submitted job. `due` is the simulated time of its deadline."""

    id: UUID
    arrival: Arrival
    chunks: int
    began: float | None = None
    ended: float | None = None

    @property
    def due(self) -> float | None:
        return None if self.arrival.due is None else self.arrival.at + self.arrival.due


@dataclass(eq=False)
class Chunk:
    """A chunk, and the seconds of work that are left in it."""

    job: Job
    no: int
    images: int
    left: float

    @property
    def seconds(self) -> float:
        return self.images * SECONDS[self.job.arrival.task]


class Service:
    """Postgres, and in place of Redis the same lists in memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._open: dict[UUID, Job] = {}
        self._known: dict[tuple[UUID, int], Chunk] = {}
        self._messages: dict[int, deque[tuple[UUID, int]]] = {each: deque() for each in URGENCIES}
        self._sums = {task: (1000.0, 1000 * each) for task, each in SECONDS.items()}  # measured before
        self._keep_paces()

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def submit(self, arrival: Arrival) -> Job:
        job = Job(new_job_id(), arrival, -(-arrival.images // _CHUNK))
        values = {"id": job.id, "model": MODEL, "task": arrival.task, "n": arrival.images, "size": _CHUNK}
        with self._engine.begin() as connection:
            connection.execute(_SUBMIT, values)
            connection.execute(*cut_chunks(job.id))
        self._open[job.id] = job
        return job

    def fill(self, workers: int) -> None:
        """What the dispatcher does: fill the window of the model."""
        wanted = workers * _SLOTS * _PER_SLOT or 4
        room = wanted - sum(map(len, self._messages.values()))
        if room <= 0 or not self._open:
            return
        with self._single.connect() as connection:
            rows = connection.execute(*dispatch.fill_window(MODEL, room=room, job_room=-(-wanted // 2))).all()
        for row in rows:
            self._messages[urgency(row.share)].append((row.job_id, row.chunk_no))

    def claim(self, most: int, at: float) -> list[Chunk]:
        """What free slots take: the most urgent messages first."""
        taken: list[Chunk] = []
        for each in URGENCIES:
            while self._messages[each] and len(taken) < most:
                taken.append(self._chunk(*self._messages[each].popleft()))
        self._change(_CLAIM, taken)
        for chunk in taken:
            chunk.job.began = at if chunk.job.began is None else chunk.job.began
        return taken

    def end(self, chunks: list[Chunk], at: float) -> None:
        """Record chunks that are done, tally them, finish their jobs, and measure the pace."""
        self._change(_END, chunks)
        for chunk in chunks:
            chunk.job.chunks -= 1
            items, seconds = self._sums[chunk.job.arrival.task]
            self._sums[chunk.job.arrival.task] = (items * 0.99 + chunk.images, seconds * 0.99 + chunk.seconds)
            if chunk.job.chunks == 0:
                chunk.job.ended = at
                with self._engine.begin() as connection:
                    assert finish_job(connection, chunk.job.id)
                del self._open[chunk.job.id]
        if chunks:
            self._keep_paces()
            with self._engine.begin() as connection:
                connection.execute(*tally.add_tallies(most=1000))

    def give_back(self, chunks: Iterable[Chunk]) -> None:
        self._change(_GIVE_BACK, list(chunks))

    def wanted(self, policy: str, drain: float | None, at: float) -> int:
        """What the autoscaler is told: by `work`, or by `queue`, the number of chunks."""
        with self._engine.begin() as connection:
            if policy == "queue":
                found: int = connection.execute(_QUEUE_LENGTH).scalar_one()
                return found
            for job in self._open.values():
                if job.due is not None and job.due > at:  # the database has another clock
                    connection.execute(_DUE, {"seconds": job.due - at, "job": job.id})
                elif job.due is not None:  # late, and worked off all the same
                    connection.execute(text("UPDATE jobs SET deadline = NULL WHERE id = :job"), {"job": job.id})
            target = "" if drain is None else f", drain_seconds => {drain:f}"
            call = text(f"SELECT wanted_workers('{MODEL}'{target})")
            wanted: int = connection.execute(call).scalar_one()
        return wanted

    def _keep_paces(self) -> None:
        paces = [scaling.Pace("w", MODEL, task, *sums) for task, sums in self._sums.items()]
        with self._engine.begin() as connection:
            connection.execute(*scaling.keep_paces(paces))

    def _chunk(self, job_id: UUID, no: int) -> Chunk:
        if (job_id, no) not in self._known:
            job = self._open[job_id]
            images = min(_CHUNK, job.arrival.images - no * _CHUNK)
            self._known[job_id, no] = Chunk(job, no, images, images * SECONDS[job.arrival.task])
        return self._known[job_id, no]

    def _change(self, statement: object, chunks: list[Chunk]) -> None:
        if chunks:
            values = {"jobs": [chunk.job.id for chunk in chunks], "nos": [chunk.no for chunk in chunks]}
            with self._engine.begin() as connection:
                connection.execute(statement, values)  # type: ignore[call-overload]
