"""The whole service as real processes, with methods to submit, disturb, wait and ask the database.

Two triggers are added to the stack's database, so that the oracle does not rely on what the system says of itself:
every change of a job's state is written down, and every result whose fence is not its chunk's at that moment.
KEEP_LOGS=folder keeps the logs of the stack's programs.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import redis
from PIL import Image
from sqlalchemy import Engine, text

from db.engine import sync_engine
from db.statements.leader import wake_dispatcher
from deploy.local import services, supervisor
from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack
from tests.folders import new_folder
from tests.jobs import picture, submit
from workers.broker import list_names
from workers.testing.poison import MARK

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LEASE = 2.0
LEADER = 2.0

AUDIT = """
CREATE TABLE IF NOT EXISTS audit_jobs (job_id uuid, state job_state, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS audit_stale (job_id uuid, index integer, fence bigint, held bigint, state chunk_state);
CREATE OR REPLACE FUNCTION audit_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO audit_jobs VALUES (NEW.id, NEW.state); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION audit_result() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO audit_stale SELECT NEW.job_id, NEW.index, NEW.fence, c.fence, c.state FROM chunks c
  WHERE c.job_id = NEW.job_id AND c.lo <= NEW.index AND NEW.index < c.hi
    AND (c.fence <> NEW.fence OR c.state <> 'leased');
  RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER audit_jobs AFTER UPDATE OF state ON jobs FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION audit_job();
CREATE OR REPLACE TRIGGER audit_results AFTER INSERT ON results FOR EACH ROW EXECUTE FUNCTION audit_result();
"""


class TooLate(AssertionError):
    """What was waited for did not happen in time."""


def until(what: str, seconds: float, holds: Callable[[], Any], every: float = 0.05) -> float:
    """Wait until `holds()` is true; returns how long that took. Raises TooLate, naming `what`."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise TooLate(f"{what}: not within {seconds:.1f} s")
        time.sleep(every)
    return time.monotonic() - started


def family(pid: int) -> list[int]:
    """A process and its children, the oldest first. (Postgres gives each backend a session of its own.)"""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # killed meanwhile
        os.kill(pid, number)


@dataclass
class Cluster:
    """A running stack and the connections of whoever hurts it."""

    stack: Stack
    engine: Engine
    admin: Engine
    redis: redis.Redis
    s3: "S3Client"
    deeds: Path
    jobs: list[UUID] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)

    def put(self, key: str, content: bytes) -> str:
        self.s3.put_object(Bucket=self.stack.bucket, Key=key, Body=content)
        return f"s3://{self.stack.bucket}/{key}"

    def images(self, count: int) -> list[str]:
        """`count` references to a few harmless pictures."""
        return [f"s3://{self.stack.bucket}/plain/{i % 4}.jpg" for i in range(count)]

    def poisoned(self, poison: bytes) -> str:
        """The image that does this harm (see workers.testing.poison)."""
        pixels = np.random.default_rng(list(poison)).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        pixels[0, :2] = list(MARK), list(poison)
        path = Path(tempfile.gettempdir()) / f"maskworks-poison-{os.getpid()}.png"
        Image.fromarray(pixels).save(path)
        content = path.read_bytes()
        path.unlink()
        return self.put(f"poison/{poison.decode()}.png", content)

    def deaths_by(self, poison: bytes) -> int:
        """How often an image of this kind was let at a worker."""
        deeds = self.deeds / "deeds"
        lines = deeds.read_text().splitlines() if deeds.exists() else []
        return sum(line.split()[1] == poison.decode() for line in lines)

    def submit(self, images: Sequence[str] | int, **columns: Any) -> UUID:
        """A job straight into the tables, as the front door would write it, and the dispatcher woken."""
        given = self.images(images) if isinstance(images, int) else images
        job = submit(self.engine, given, **columns)
        self.jobs.append(job)
        with self.engine.begin() as connection:
            connection.execute(*wake_dispatcher())
        return job

    def ask(self, sql: str, **parameters: Any) -> Any:
        """The first column of the first row."""
        with self.engine.connect() as connection:
            return connection.execute(text(sql), parameters).scalar()

    def state(self, job: UUID) -> str:
        return str(self.ask("SELECT state::text FROM jobs WHERE id = :job", job=job))

    def is_done(self, job: UUID) -> bool:
        return self.ask("SELECT ended_at IS NOT NULL FROM jobs WHERE id = :job", job=job) is True

    def results(self, job: UUID) -> int:
        return int(self.ask("SELECT count(*) FROM results WHERE job_id = :job", job=job))

    def wait_done(self, job: UUID, seconds: float = 40) -> float:
        return until(f"the end of job {job}", seconds, lambda: self.is_done(job))

    def wait_leased(self, job: UUID, by: str | None = None, seconds: float = 20) -> float:
        """Until a chunk of the job is in work; `by` names a worker process."""
        sql = "SELECT count(*) FROM chunks WHERE job_id = :job AND state = 'leased' AND worker LIKE :by"
        return until(f"a claim of job {job}", seconds, lambda: self.ask(sql, job=job, by=self._like(by)), every=0.01)

    def _like(self, name: str | None) -> str:
        """What the id of this worker's process is like, as it is now: it may have been restarted a moment ago."""
        return f"%-{self.stack.supervisor.pid(name)}" if name else "%"

    def held_by(self, name: str) -> dict[int, int]:
        """The chunks (of whatever job) that a worker process holds now, and their fences."""
        sql = text("SELECT chunk_no, fence FROM chunks WHERE state = 'leased' AND worker LIKE :id")
        with self.engine.connect() as connection:
            rows = connection.execute(sql, {"id": self._like(name)}).all()
        return {row.chunk_no: row.fence for row in rows}

    def claimed_since(self, job: UUID, held: Mapping[int, int]) -> bool:
        """Whether each of these chunks has been claimed again, or has ended."""
        sql = text("SELECT chunk_no, fence, state::text FROM chunks WHERE job_id = :job")
        with self.engine.connect() as connection:
            rows = {row.chunk_no: row for row in connection.execute(sql, {"job": job})}
        # The reaper adds one to the fence, a new claim another one.
        return all(rows[n].state == "done" or rows[n].fence > fence + 1 for n, fence in held.items())

    def queued(self) -> int:
        """Messages waiting in Redis."""
        return sum(int(self.redis.llen(name)) for name in list_names("null"))

    def workers(self) -> list[str]:
        return [name for name in self.stack.supervisor.names() if name.startswith("worker-")]

    def add_worker(self, keep: bool = False, **settings: object) -> str:
        """One more worker, up and registered. Settings by their names, as `crash_at="done"`."""
        extra = {f"MASKWORKS_{name.upper()}": str(value) for name, value in settings.items()}
        name = self.stack.add_worker(extra, keep=keep)
        self.extras.append(name)
        self.wait_registered(name)
        return name

    def wait_registered(self, name: str, seconds: float = 60) -> None:
        sql = "SELECT 1 FROM workers WHERE id LIKE :id"
        until(f"{name} registers", seconds, lambda: self.ask(sql, id=self._like(name)))

    def send(self, name: str, number: signal.Signals) -> None:
        os.kill(self.stack.supervisor.pid(name), number)

    def wait_exit(self, name: str, seconds: float) -> int:
        until(f"the end of {name}", seconds, lambda: self.stack.supervisor.exit_code(name) is not None)
        code = self.stack.supervisor.exit_code(name)
        assert code is not None
        return code

    def restart(self, name: str, hurry: bool = True) -> None:
        """End a program (SIGKILL where in a hurry) and start it again; does not wait for it."""
        self.stack.stop_child(name, hurry)
        self.stack.start_child(name)

    def drop_extras(self) -> None:
        """End the workers that a test has added."""
        while self.extras:
            name = self.extras.pop()
            if name in self.stack.supervisor.names():
                self.stack.supervisor.stop(name)

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """These programs stand still (with all their children) during the block."""
        pids = [pid for name in names for pid in family(self.stack.supervisor.pid(name))]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)

    @contextmanager
    def second_dispatcher(self, **settings: object) -> Iterator[str]:
        """A standby, or a leader that can be told to crash."""
        extra = {f"MASKWORKS_{name.upper()}": str(value) for name, value in settings.items()}
        command = services.dispatcher(self.stack.folder, {**self.stack.environment, **extra})
        name = "dispatcher-2"
        self.stack.supervisor.start(type(command)(**{**vars(command), "name": name}))
        try:
            yield name
        finally:
            self.stack.supervisor.stop(name)


def _make_commits_last(driver: Cluster) -> None:
    """A fast stack forgets its newest commits when Postgres is killed; the protocol is built on those that last."""
    with driver.admin.begin() as connection:
        connection.exec_driver_sql("ALTER ROLE maskworks SET synchronous_commit = on")
    with driver.admin.begin() as connection:  # a role's settings come with a new connection
        connection.exec_driver_sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'maskworks'"
        )


def _tolerate_deaths() -> None:
    """A stack gives up on a program that dies five times a minute; here that is what the test is about."""
    supervisor.MAX_DEATHS = 10_000
    supervisor.RESTART_DELAY_SECONDS = 0.02


@contextmanager
def cluster(workers: int = 1, env: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A stack with short leases and the null model, audited, with a few pictures in its bucket."""
    _tolerate_deaths()
    with new_folder("maskworks-faults-") as home:
        deeds = home / "deeds"
        deeds.mkdir()
        settings = {
            "MASKWORKS_LEASE_SECONDS": str(LEASE),
            "MASKWORKS_LEADER_SECONDS": str(LEADER),
            "MASKWORKS_OUTPUT_LEASE_SECONDS": str(LEASE),
            "MASKWORKS_NULL_DELAY": "0.05",
            "MASKWORKS_NULL_POISON": str(deeds),
            "MASKWORKS_BATCH_SECONDS": "4",
        }
        with stack(home / "data", workers, "null", {**settings, **(env or {})}, fast=True) as running:
            access = running.stores.s3
            driver = Cluster(
                stack=running,
                engine=sync_engine(running.stores.database_url, pool_size=8),
                admin=sync_engine(running.stores.superuser_url, pool_size=1),
                redis=redis.Redis.from_url(running.stores.redis_url, socket_timeout=5),
                s3=s3_client(access.endpoint_url, access.access_key, access.secret_key),
                deeds=deeds,
            )
            _make_commits_last(driver)
            with driver.engine.begin() as connection:
                connection.exec_driver_sql(AUDIT)
            for i in range(4):
                driver.put(f"plain/{i}.jpg", picture(seed=i))
            yield driver
            if "KEEP_LOGS" in os.environ:
                shutil.copytree(running.folder.logs, os.environ["KEEP_LOGS"], dirs_exist_ok=True)
            driver.engine.dispose()
            driver.admin.dispose()
            driver.redis.close()
            driver.s3.close()
