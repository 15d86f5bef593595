"""Readers of a server that misbehaves.

server   the server: `.answer` says how, `.heads` has what it was asked
objects  makes readers of it, with settings that differ by the given ones
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers import hostile_s3
from tests.workers.hostile_s3 import HostileS3
from workers.failures import ItemFailed
from workers.storage.client import s3_client
from workers.storage.reading import Objects

Change = Callable[..., Objects]


@pytest.fixture
def server() -> Iterator[HostileS3]:
    with hostile_s3.hostile_s3() as running:
        yield running


@pytest.fixture
def objects(server: HostileS3) -> Iterator[Change]:
    """Readers of the hostile server, with settings that differ by the given ones."""
    clients: list[Any] = []

    def make(**changes: object) -> Objects:
        changed = hostile_s3.reading_from(server, **{"max_image_bytes": 5000} | changes)
        clients.append(s3_client(changed))
        return Objects(clients[-1], changed)

    yield make
    for client in clients:
        client.close()


def failure(objects: Objects, uri: str = "s3://b/k") -> ItemFailed:
    with pytest.raises(ItemFailed) as caught:
        objects.open(uri).read()
    return caught.value
