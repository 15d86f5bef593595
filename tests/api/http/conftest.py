"""The shipped server, once for the module that asks."""

from collections.abc import Iterator

import pytest

from db.engine import sync_engine
from tests.api.http.shipped import Server, server


@pytest.fixture(scope="module")
def api(module_database: str) -> Iterator[Server]:
    engine = sync_engine(module_database)
    with server(module_database, engine) as running:
        yield running
    engine.dispose()
