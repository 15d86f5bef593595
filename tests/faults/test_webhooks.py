"""Webhooks whose sender dies: each event is sent, and every try of it has the same id."""

from collections.abc import Iterator

import pytest

from db.states import WebhookState
from tests.faults.cluster import LEADER, Cluster, until
from tests.receiver import Receiver, receiving
from tests.workers.dispatcher.webhooks.hooked import cancelled_job, delivery, log_of, wait_state

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_PRIVATE_TARGETS": "true", "MASKWORKS_WEBHOOK_SECONDS": "2"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as made:
        yield made


def test_a_sender_that_dies_before_it_sends(cluster: Cluster, receiver: Receiver) -> None:
    """The event is claimed and nobody has it. After the lease it is sent."""
    cluster.stack.stop_child("dispatcher", hurry=True)
    job = cancelled_job(cluster.engine, receiver.url)
    with cluster.second_dispatcher(crash_at="webhook_held") as second:
        assert cluster.wait_exit(second, LEADER + 20) == -9
    assert receiver.seen == [] and delivery(cluster.engine, job).lease_until is not None
    cluster.stack.start_child("dispatcher")
    wait_state(cluster.engine, job, WebhookState.DELIVERED)
    assert len(receiver.seen) == 1 and [row.status for row in log_of(cluster.engine, job)] == [200]


def test_a_sender_that_dies_before_it_records(cluster: Cluster, receiver: Receiver) -> None:
    """The receiver has the event. Nobody knows, so it gets it again."""
    cluster.stack.stop_child("dispatcher", hurry=True)
    job = cancelled_job(cluster.engine, receiver.url)
    with cluster.second_dispatcher(crash_at="webhook_sent") as second:
        assert cluster.wait_exit(second, LEADER + 20) == -9
    assert len(receiver.seen) == 1 and log_of(cluster.engine, job) == []
    cluster.stack.start_child("dispatcher")
    wait_state(cluster.engine, job, WebhookState.DELIVERED)
    assert len(receiver.seen) == 2 and len(receiver.ids()) == 1
    assert [row.status for row in log_of(cluster.engine, job)] == [200]


def test_a_sender_that_is_frozen_records_nothing_later(cluster: Cluster, receiver: Receiver) -> None:
    """Another leader delivers meanwhile. The late one's record finds its lease lost."""
    cluster.stack.stop_child("dispatcher", hurry=True)
    receiver.statuses = [500, 200]
    job = cancelled_job(cluster.engine, receiver.url)
    with cluster.second_dispatcher() as second:
        until("the first try", 30, lambda: receiver.seen)
        with cluster.frozen(second):
            cluster.stack.start_child("dispatcher")
            wait_state(cluster.engine, job, WebhookState.DELIVERED)
    log = log_of(cluster.engine, job)
    assert [row.number for row in log] == list(range(1, len(log) + 1)) and log[-1].status == 200
    assert delivery(cluster.engine, job).state == WebhookState.DELIVERED and len(receiver.ids()) == 1
