"""Submit jobs with a prefix and list them step by step."""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine, insert

from db.ids import new_job_id
from db.states import JobState
from db.tables import items, jobs
from workers.dispatcher.ingest.prefix import PrefixSource
from workers.dispatcher.ingest.source import InputFailed, ingesting_jobs
from workers.dispatcher.ingest.store import ingest_page, put_off
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client


def submit_prefix(engine: Engine, prefix: str, glob: str | None = None, **columns: Any) -> UUID:
    job_id = new_job_id()
    row = {"id": job_id, "tenant_id": "default", "state": JobState.INGESTING, "model": "null", "task": {"type": "auto"}}
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(row | {"input": {"prefix": prefix, "glob": glob}} | columns))
    return job_id


def step(engine: Engine, settings: Settings, s3: Any = None) -> bool:
    """One page of every ingesting job. Whether there is more to list."""
    more = False
    for found in ingesting_jobs(engine):
        try:
            more |= ingest_page(engine, PrefixSource(s3 or s3_client(settings), settings, found), settings, found)
        except InputFailed as failure:
            put_off(engine, settings, found, failure)
    return more


def listed(engine: Engine, job: UUID) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(items.select().where(items.c.job_id == job).order_by(items.c.index)).all()
    assert [row._mapping["index"] for row in rows] == list(range(len(rows)))
    return [row.image for row in rows]
