"""Postgres told to refuse some changes of one job's rows, and a wait for the end that the job comes to."""

import time
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from tests.jobs import job_row

REFUSE = """
CREATE OR REPLACE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused by a test' USING ERRCODE = '{code}'; END $$;
CREATE TRIGGER refuse_it BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse_it();
"""


def refuse(engine: Engine, table: str, when: str, job: UUID, code: str, event: str = "UPDATE") -> None:
    """Postgres refuses each such change of the job's rows, whoever makes it."""
    column = "id" if table == "jobs" else "job_id"
    condition = f"NEW.{column} = '{job}' AND {when}"
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSE.format(code=code, event=event, table=table, when=condition))


def wait_ended(engine: Engine, job: UUID, seconds: float = 40) -> Any:
    until = time.monotonic() + seconds
    while (row := job_row(engine, job)).ended_at is None:
        assert time.monotonic() < until, row
        time.sleep(0.05)
    return row
