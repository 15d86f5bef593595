"""Deliveries over real sockets: signed, tried again, stopped by 410, one receiver not held up by another."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from standardwebhooks import Webhook

from db.ids import show_job_id
from db.statements import webhooks as sql
from db.states import WebhookState
from db.webhook_secret import new_seed, secret_of, show_secret
from tests.receiver import Receiver, receiving
from tests.waiting import wait_for
from tests.workers.dispatcher.output.written import new_tenant
from tests.workers.dispatcher.webhooks.hooked import cancelled_job, delivery, log_of, wait_state
from workers.dispatcher.webhooks.outcome import Outcome, next_step, retry_after

Lead = Callable[..., None]
PEPPER = SecretStr("the pepper of this test")
QUICK = {"private_targets": True, "webhook_schedule": (0.0,) * 8}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as made:
        yield made


def test_a_receiver_that_fails_five_times_is_served_once(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    receiver.statuses = [500, 503, 302, 404, 429, 200]
    job = cancelled_job(engine, receiver.url)
    with engine.connect() as connection:
        (kept,) = connection.execute(*sql.valid_secrets("default"))
    lead(**QUICK, key_pepper=PEPPER)
    wait_state(engine, job, WebhookState.DELIVERED)
    assert [row.status for row in log_of(engine, job)] == [500, 503, 302, 404, 429, 200]
    assert len(receiver.seen) == 6 and len(receiver.ids()) == 1
    assert len({body for _, body in receiver.seen}) == 1
    headers, body = receiver.seen[-1]
    event = Webhook(show_secret(secret_of(PEPPER.get_secret_value(), kept.seed))).verify(body, headers)
    assert event["type"] == "job.cancelled"
    assert (event["data"]["id"], event["data"]["state"]) == (show_job_id(job), "cancelled")
    assert event["data"]["counts"]["cancelled"] == event["data"]["counts"]["total"] == 1


def test_both_secrets_sign_during_a_rotation(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    old, new = new_seed(), new_seed()
    with engine.begin() as connection:
        connection.execute(*sql.insert_secret("default", old))
        connection.execute(*sql.expire_secrets("default", overlap_seconds=3600))
        connection.execute(*sql.insert_secret("default", new))
    cancelled_job(engine, receiver.url)
    lead(**QUICK, key_pepper=PEPPER)
    wait_for(lambda: bool(receiver.seen))
    headers, body = receiver.seen[0]
    for seed in (old, new):
        Webhook(secret_of(PEPPER.get_secret_value(), seed)).verify(body, headers)
    with engine.begin() as connection:
        connection.execute(*sql.expire_secrets("default", overlap_seconds=0))
        connection.execute(*sql.insert_secret("default", new))
    job = cancelled_job(engine, receiver.url)
    wait_state(engine, job, WebhookState.DELIVERED)
    assert len(receiver.seen[-1][0]["webhook-signature"].split()) == 1


def test_a_receiver_that_is_gone_is_left_alone(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    receiver.statuses = [410]
    job = cancelled_job(engine, receiver.url)
    lead(**QUICK)
    wait_state(engine, job, WebhookState.DISABLED)
    assert [row.status for row in log_of(engine, job)] == [410]


def test_the_schedule_ends(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    receiver.statuses = [500]
    job = cancelled_job(engine, receiver.url)
    lead(**{**QUICK, "webhook_schedule": (0.0, 0.0)})
    wait_state(engine, job, WebhookState.FAILED)
    assert len(log_of(engine, job)) == 3
    with engine.begin() as connection:
        assert connection.execute(*sql.redeliver(job)).first() is not None
    receiver.statuses = [200]
    wait_state(engine, job, WebhookState.DELIVERED)
    assert [row.number for row in log_of(engine, job)] == [1, 2, 3, 4] and len(receiver.ids()) == 1


def test_only_events_that_are_asked_for(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    unwanted = cancelled_job(engine, receiver.url, ["job.succeeded", "job.failed"])
    wanted = cancelled_job(engine, receiver.url, ["job.cancelled"])
    lead(**QUICK)
    wait_state(engine, unwanted, WebhookState.SKIPPED)
    wait_state(engine, wanted, WebhookState.DELIVERED)
    assert [json.loads(body)["data"]["id"] for _, body in receiver.seen] == [show_job_id(wanted)]
    with engine.begin() as connection:
        assert connection.execute(*sql.redeliver(unwanted)).first() is not None  # asked for by hand
    wait_state(engine, unwanted, WebhookState.DELIVERED)


def test_a_slow_receiver_delays_no_other(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    """One tenant's receivers hang. They take half of the threads, and another tenant's event is sent."""
    with receiving(Receiver(hold=threading.Event())) as slow:
        new_tenant(engine, "slow")
        for _ in range(6):
            cancelled_job(engine, slow.url, tenant="slow")
        lead(**QUICK, webhooks_at_once=4)
        wait_for(lambda: len(slow.seen) == 2)
        job = cancelled_job(engine, receiver.url)
        wait_state(engine, job, WebhookState.DELIVERED)
        assert len(slow.seen) == 2


def test_private_targets_are_refused_and_logged(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    """As if the name of a public receiver had come to lead here, or the setting had been taken back."""
    job = cancelled_job(engine, receiver.url.replace("http://", "https://"))
    lead(private_targets=False, webhook_schedule=())
    wait_state(engine, job, WebhookState.FAILED)
    (row,) = log_of(engine, job)
    assert row.status is None and "private or reserved" in row.error and receiver.seen == []


def test_a_redirect_is_not_followed(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    with receiving(Receiver([307], {"Location": receiver.url})) as moved:
        job = cancelled_job(engine, moved.url)
        lead(**{**QUICK, "webhook_schedule": ()})
        wait_state(engine, job, WebhookState.FAILED)
    assert [row.status for row in log_of(engine, job)] == [307] and receiver.seen == []


def test_a_dead_receiver_is_logged_without_its_address(engine: Engine, lead: Lead) -> None:
    job = cancelled_job(engine, "http://127.0.0.1:1/hook")
    with engine.begin() as connection:
        # Port 1 is refused at submit; here it stands for a receiver that is down.
        connection.exec_driver_sql("UPDATE webhooks SET url = 'http://127.0.0.1:65535/hook'")
    lead(**{**QUICK, "webhook_schedule": ()})
    wait_state(engine, job, WebhookState.FAILED)
    (row,) = log_of(engine, job)
    assert row.error.startswith("no answer: ") and "127.0.0.1" not in row.error


def test_two_leaders_send_an_event_once(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    jobs = [cancelled_job(engine, receiver.url) for _ in range(20)]
    lead(**QUICK)
    lead(**QUICK)
    for job in jobs:
        wait_state(engine, job, WebhookState.DELIVERED)
    assert len(receiver.seen) == len(receiver.ids()) == 20


def test_a_job_deleted_meanwhile_is_nobodys_error(engine: Engine, lead: Lead, receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    job = cancelled_job(engine, receiver.url)
    lead(**QUICK)
    wait_for(lambda: bool(receiver.seen))
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    receiver.hold.set()
    other = cancelled_job(engine, receiver.url)
    wait_state(engine, other, WebhookState.DELIVERED)
    assert log_of(engine, job) == []


@pytest.mark.parametrize(
    ("outcome", "tries", "state", "least"),
    [
        (Outcome(204), 3, WebhookState.DELIVERED, 0),
        (Outcome(410), 0, WebhookState.DISABLED, 0),
        (Outcome(500), 0, WebhookState.PENDING, 5),
        (Outcome(None, "no answer"), 1, WebhookState.PENDING, 300),
        (Outcome(429, None, 900.0), 0, WebhookState.PENDING, 900),
        (Outcome(429, None, 10.0**7), 0, WebhookState.PENDING, 86_400),
        (Outcome(500), 2, WebhookState.FAILED, 0),
    ],
)
def test_what_follows_a_try(outcome: Outcome, tries: int, state: WebhookState, least: float) -> None:
    found, wait = next_step(outcome, tries, (5, 300))
    assert found == state and least <= wait <= least * 1.2 + 0.001


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0), ("120", 120), ("-1", 0), ("١", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0)]
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_a_pending_event_is_not_sent_twice_by_redelivery(engine: Engine) -> None:
    job = cancelled_job(engine, "http://127.0.0.1:65535/hook")
    with engine.begin() as connection:
        assert connection.execute(*sql.redeliver(job)).first() is None
    assert delivery(engine, job).state == WebhookState.PENDING
