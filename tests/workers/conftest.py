"""A worker in this process, on the real stores, with the null model."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from db.engine import sync_engine
from workers.broker import chunk_of, list_names
from workers.dispatcher.leader import Dispatcher
from workers.dispatcher.settings import Settings as DispatcherSettings
from workers.settings import Settings
from workers.testing import crash_points
from workers.worker import Worker


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def worker_settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in settings_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASKWORKS_LEASE_SECONDS", "2")
    return Settings()


@pytest.fixture
def dispatcher_settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> DispatcherSettings:
    for name, value in settings_env.items():
        monkeypatch.setenv(name, value)
    return DispatcherSettings()


@pytest.fixture
def settings(worker_settings: Settings) -> Settings:
    return worker_settings


@pytest.fixture
def start_worker(worker_settings: Settings) -> Iterator[Callable[..., Worker]]:
    """Start a worker whose settings differ by the given ones."""
    started: list[Worker] = []

    def start(**changes: object) -> Worker:
        worker = Worker(worker_settings.model_copy(update=changes))
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis]":
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def lead(dispatcher_settings: DispatcherSettings) -> Iterator[Callable[..., None]]:
    """Run a dispatcher in a thread of this process; armed by MASKWORKS_CRASH_AT where it is given."""
    stop, threads = threading.Event(), []

    def start(crash_at: str | None = None, **changes: object) -> None:
        crash_points.arm(crash_at)
        dispatcher = Dispatcher(dispatcher_settings.model_copy(update={"tick_seconds": 0.1, **changes}), stop)
        threads.append(threading.Thread(target=dispatcher.run))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    crash_points.arm(None)


@pytest.fixture
def slot(client: "redis.Redis", start_worker: Callable[..., Worker]) -> Iterator[None]:
    """A worker's slot that takes its messages from Redis by itself."""
    stop, worker = threading.Event(), start_worker()

    def serve() -> None:
        while not stop.is_set():
            popped: Any = client.brpop(list_names("null"), timeout=1)
            if popped and (chunk := chunk_of(popped[1])):
                worker.segment_chunk(*chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    stop.set()
    thread.join()
