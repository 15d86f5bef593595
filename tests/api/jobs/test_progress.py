"""How fast a job goes and when it may be done: by what it did in the last minutes, not since its start."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.endings import stop_job
from db.ids import read_job_id
from db.statements import progress, tally
from db.states import ItemReason, JobReason
from db.tables import jobs, progress_samples, workers
from tests.api.conftest import Service, failure_row, result_row

OLDER = text("UPDATE progress_samples SET times = ARRAY(SELECT t - :by FROM unnest(times) t) WHERE job_id = :job")


@pytest.fixture
def _worker(service: Service) -> None:
    row = {"id": "w", "model": "sam_tiny", "model_revision": "r", "device": "cpu", "precision": "exact", "slots": 1}
    signed = {"loaded_at": func.now(), "seen_at": func.now()}
    with service.engine.begin() as connection:
        connection.execute(upsert(workers).values(**row, **signed).on_conflict_do_nothing())


pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("_worker")]


class Played:
    """A running job of 128 items in chunks of 2, of which time passes as the test says."""

    def __init__(self, service: Service, shown: str) -> None:
        self.service, self.shown, self.chunk = service, shown, 0
        job = read_job_id(shown)
        assert job is not None
        self.job = job

    def finish(self, chunks: int) -> None:
        """An item that succeeded and one that failed in each of so many chunks."""
        for _ in range(chunks):
            fence, at = self.service.claim(self.shown, self.chunk), 2 * self.chunk
            self.service.write(fence, {at: result_row([]), at + 1: failure_row(ItemReason.TIMEOUT)})
            self.service.complete(fence)
            self.chunk += 1

    def sample(self, times: int = 1, seconds: float = 30) -> None:
        """The leader samples, and so many seconds pass; again and again."""
        for _ in range(times):
            with self.service.engine.begin() as connection:
                connection.execute(*progress.sample(spacing_seconds=0, most=100))
                connection.execute(OLDER, {"by": timedelta(seconds=seconds), "job": self.job})

    async def now(self) -> tuple[float | None, int | None]:
        shown = (await self.service.job(self.shown))["progress"]
        return shown["items_per_second"], shown["eta_seconds"]

    def began(self, seconds: float) -> None:
        """The job started so many seconds ago."""
        start = func.now() - timedelta(seconds=seconds)
        with self.service.engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == self.job).values(started_at=start))


@pytest.fixture
async def played(service: Service) -> Played:
    return Played(service, (await service.submit(128))["id"])


async def test_a_job_that_got_slower_says_so(played: Played) -> None:
    """40 items in its first hour's first minute, then four in five minutes."""
    assert await played.now() == (None, None)
    played.finish(20)
    played.began(3600)
    rate, eta = await played.now()  # no sample yet: since the start
    assert rate == pytest.approx(40 / 3600, abs=0.001) and eta == pytest.approx(88 * 90, rel=0.01)
    played.sample(12)
    played.finish(2)
    rate, eta = await played.now()
    assert rate == pytest.approx(4 / 330, abs=0.001) and eta == pytest.approx(84 * 330 / 4, rel=0.02)


async def test_samples_are_few_and_count_tallied_chunks(played: Played) -> None:
    played.finish(3)
    played.sample(2)
    with played.service.engine.begin() as connection:
        connection.execute(*tally.add_tallies(most=1000))
    played.finish(1)
    played.sample(20)
    with played.service.engine.connect() as connection:
        row = connection.execute(progress_samples.select().where(progress_samples.c.job_id == played.job)).one()
    assert len(row.times) == len(row.finished) == progress.SAMPLES and set(row.finished) == {8}
    assert row.times == sorted(row.times)


async def test_a_job_that_stands_still_has_no_end_and_then_begins_anew(played: Played) -> None:
    played.finish(10)
    played.sample(15)
    assert await played.now() == (0.0, None)
    played.sample()
    played.finish(5)
    played.sample()
    rate, eta = await played.now()
    assert rate == pytest.approx(10 / 60, abs=0.01) and eta == pytest.approx(98 * 6, rel=0.05)


async def test_a_job_without_a_worker_has_no_end(played: Played) -> None:
    played.finish(10)
    played.began(60)
    with played.service.engine.begin() as connection:
        connection.execute(workers.delete())
    rate, eta = await played.now()
    assert rate is not None and rate > 0 and eta is None


async def test_a_job_that_is_done_has_the_rate_of_its_whole_run(played: Played) -> None:
    played.finish(10)
    played.sample(15)
    played.began(100)
    with played.service.engine.begin() as connection:
        assert stop_job(connection, played.job, JobReason.CANCELLED_BY_CLIENT)
    rate, eta = await played.now()
    assert rate == pytest.approx(0.2, abs=0.01) and eta == 0
    with played.service.engine.begin() as connection:
        connection.execute(*progress.forget_samples())
        assert connection.execute(progress_samples.select().where(progress_samples.c.job_id == played.job)).all() == []
    assert await played.now() == (rate, 0)


async def test_a_job_under_deletion_and_the_jobs_of_others_are_left_alone(played: Played) -> None:
    other: Any = Played(played.service, (await played.service.submit(128))["id"])
    for each in (played, other):
        each.finish(1)
    with played.service.engine.connect() as holder:
        holder.execute(jobs.select().where(jobs.c.id == played.job).with_for_update())
        other.sample()
    with played.service.engine.connect() as connection:
        found = connection.execute(progress_samples.select().with_only_columns(progress_samples.c.job_id)).scalars()
        assert other.job in (seen := set(found)) and played.job not in seen
