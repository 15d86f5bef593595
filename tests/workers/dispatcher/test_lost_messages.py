"""Which messages the leader takes for lost."""

import time
from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine, text

from db.engine import single_statements
from tests.conftest import Bucket
from tests.jobs import picture, submit
from workers.broker import list_names
from workers.dispatcher.lost_messages import LostMessages
from workers.dispatcher.sender import Sender
from workers.dispatcher.settings import Settings
from workers.dispatcher.unexpected_errors import UnexpectedErrors


@pytest.fixture
def sender(settings: Settings) -> Iterator[Sender]:
    sender = Sender(settings.redis_url)
    sender.start()
    yield sender
    sender.stop()


def wait_looked(sender: Sender, queues: frozenset[str]) -> None:
    until = time.monotonic() + 20
    while sender.waiting is None or sender.waiting.queues != queues:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_queue_that_was_not_looked_into_has_lost_nothing(
    engine: Engine, bucket: Bucket, client: "redis.Redis", sender: Sender
) -> None:
    """A standby has looked into no queue when it becomes the leader."""
    job = submit(engine, [bucket.put("a.jpg", picture())], size=1)
    old = "UPDATE chunks SET state = 'dispatched', dispatched_at = '2020-01-01' WHERE job_id = :job"
    with engine.begin() as connection:
        connection.execute(text(old), {"job": job})
    lost = LostMessages(single_statements(engine), sender, UnexpectedErrors())
    wait_looked(sender, frozenset())
    lost.send_again()
    time.sleep(1)
    assert sum(int(client.llen(name)) for name in list_names("null")) == 0
    sender.watch(frozenset({"null"}))
    wait_looked(sender, frozenset({"null"}))
    lost.send_again()
    until = time.monotonic() + 20
    while sum(int(client.llen(name)) for name in list_names("null")) != 1:
        assert time.monotonic() < until
        time.sleep(0.05)
