"""A worker in this process, on the real stores, with the null model."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from db.engine import sync_engine
from workers.settings import Settings
from workers.worker import Worker


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in settings_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASKWORKS_LEASE_SECONDS", "2")
    return Settings()


@pytest.fixture
def start_worker(settings: Settings) -> Iterator[Callable[..., Worker]]:
    """Start a worker whose settings differ by the given ones."""
    started: list[Worker] = []

    def start(**changes: object) -> Worker:
        worker = Worker(settings.model_copy(update=changes))
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.stop()
