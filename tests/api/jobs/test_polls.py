"""Reads of a job where the database's connections die or a lock is held."""

import asyncio

import pytest
from sqlalchemy import text

from tests.api.conftest import Service

pytestmark = pytest.mark.anyio

OTHERS_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
)
WAITING_END = text(
    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


async def test_a_dead_connection_costs_no_poll(service: Service) -> None:
    job = (await service.submit())["id"]
    for _ in range(3):
        with service.engine.begin() as connection:
            connection.execute(OTHERS_END)
        assert (await service.client.get(f"/v1/jobs/{job}")).status_code == 200


async def test_a_lock_that_cannot_be_had_is_answered_at_once(service: Service) -> None:
    """The read is not tried again."""
    job = (await service.submit())["id"]
    with service.engine.begin() as connection:
        connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
        asked = asyncio.create_task(service.client.get(f"/v1/jobs/{job}"))
        cancelled = 0
        while not cancelled:
            await asyncio.sleep(0.05)
            cancelled = connection.execute(WAITING_END).scalar_one()
        answer = await asked
    assert answer.status_code == 503 and answer.json()["reason"] == "DATABASE_UNAVAILABLE"


async def test_more_polls_than_connections_wait_for_their_turn(service: Service) -> None:
    job = (await service.submit())["id"]
    answers = await asyncio.gather(*(service.client.get(f"/v1/jobs/{job}") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
