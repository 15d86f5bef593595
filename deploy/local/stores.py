"""Postgres, Redis and S3 of one data folder, started on ports of their own, as one value."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.children import Command
from deploy.local.errors import ChildFailed
from deploy.local.folder import DataFolder
from deploy.local.postgres import API_ROLE, Postgres
from deploy.local.redis import Redis
from deploy.local.s3 import REGION, S3
from deploy.local.supervisor import Supervisor

# Below 32768, where the kernel begins to take ports for outgoing connections: a server that restarts must find its
# port free.
PORTS = range(15000, 32000)
PORT_TRIES = 10
READY_SECONDS = 60.0


class Store(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def log(self) -> Path: ...
    def prepare(self) -> None: ...
    def command(self, port: int) -> Command: ...
    def answers(self, port: int) -> bool: ...
    def finish(self, port: int) -> None: ...


@dataclass(frozen=True)
class S3Access:
    endpoint_url: str
    access_key: str
    secret_key: str
    region: str = REGION


@dataclass(frozen=True)
class Stores:
    """What a client needs. `database_url` is the application's, `superuser_url` may create databases."""

    folder: DataFolder
    supervisor: Supervisor
    database_url: str
    superuser_url: str
    redis_url: str
    s3: S3Access

    def environment(self) -> dict[str, str]:
        """The MASKWORKS_ settings that say where the stores are."""
        return {
            "MASKWORKS_DATABASE_URL": self.database_url,
            "MASKWORKS_API_ROLE": API_ROLE,
            "MASKWORKS_REDIS_URL": self.redis_url,
            "MASKWORKS_S3_ENDPOINT_URL": self.s3.endpoint_url,
            "MASKWORKS_S3_ACCESS_KEY": self.s3.access_key,
            "MASKWORKS_S3_SECRET_KEY": self.s3.secret_key,
            "MASKWORKS_S3_REGION": self.s3.region,
        }


@contextmanager
def stores(data: Path, fast: bool = False) -> Iterator[Stores]:
    """Postgres, Redis and S3 over a data folder, until the block ends.

    `fast` gives up durability for speed: tests only. Raises StackError and its kinds.
    """
    folder = DataFolder(data)
    with folder.locked():
        supervisor = Supervisor()
        try:
            yield start_stores(folder, supervisor, fast)
            stop_stores(supervisor)
        finally:
            supervisor.close()


def start_stores(folder: DataFolder, supervisor: Supervisor, fast: bool = False) -> Stores:
    """Start all three. From then on they are restarted when they die."""
    secrets = folder.secrets()
    postgres = Postgres(folder.path / "postgres", folder.new_log("postgres"), secrets, fast)
    redis = Redis(folder.path / "redis", folder.new_log("redis"), secrets["redis"])
    s3 = S3(folder.path / "s3", folder.new_log("s3"), secrets["s3_access"], secrets["s3_secret"])
    ports = {store.name: start_store(store, supervisor) for store in (postgres, redis, s3)}
    return Stores(
        folder=folder,
        supervisor=supervisor,
        database_url=_sqlalchemy(postgres.application_url(ports["postgres"])),
        superuser_url=_sqlalchemy(postgres.superuser_url(ports["postgres"])),
        redis_url=redis.url(ports["redis"]),
        s3=S3Access(s3.url(ports["s3"]), secrets["s3_access"], secrets["s3_secret"]),
    )


def stop_stores(supervisor: Supervisor, hurry: bool = False) -> None:
    supervisor.stop_together(["s3", "redis", "postgres"], hurry)


def start_store(store: Store, supervisor: Supervisor) -> int:
    """Prepare and start one, on the first random port that it can bind. Returns the port.

    Only the program's own attempt to bind shows whether a port is free. A look beforehand could be out of date.
    """
    store.prepare()
    for _ in range(PORT_TRIES):
        port = random.choice(PORTS)
        if _comes_up(store, supervisor, port):
            store.finish(port)
            supervisor.keep(store.name)
            return port
        supervisor.stop(store.name)
    raise ChildFailed(f"{store.name} found no free port in {PORT_TRIES} tries.", store.log)


def _comes_up(store: Store, supervisor: Supervisor, port: int) -> bool:
    """True when it answers, False when its port was taken; raises when it fails otherwise."""
    start = store.log.stat().st_size
    child = supervisor.start(store.command(port))
    deadline = time.monotonic() + READY_SECONDS
    while not store.answers(port):
        if (code := child.exit_code()) is not None:
            if _port_was_taken(store.log, start):
                return False
            raise ChildFailed(f"{store.name} ended with exit code {code} while it started.", store.log)
        if time.monotonic() > deadline:
            raise ChildFailed(f"{store.name} is not ready after {READY_SECONDS:.0f} seconds.", store.log)
        time.sleep(0.05)
    return True


def _port_was_taken(log: Path, start: int) -> bool:
    with log.open("rb") as stream:
        stream.seek(start, os.SEEK_SET)
        return b"address already in use" in stream.read().lower()


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
