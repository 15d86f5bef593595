"""Submit jobs with a manifest and read it step by step."""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine, insert

from db.ids import new_job_id
from db.statements import items as item_sql
from db.statements import jobs as job_sql
from db.states import JobState
from db.tables import jobs
from workers.dispatcher.ingest.manifest import ManifestSource
from workers.dispatcher.ingest.source import InputFailed, ingesting_jobs
from workers.dispatcher.ingest.store import ingest_page, put_off
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client


def submit_manifest(engine: Engine, uri: str, **columns: Any) -> UUID:
    job_id = new_job_id()
    row = {"id": job_id, "tenant_id": "default", "state": JobState.INGESTING, "model": "null", "task": {"type": "auto"}}
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(row | {"input": {"manifest": uri}} | columns))
    return job_id


def read_all(engine: Engine, settings: Settings, *, reopen: bool = False) -> int:
    """Read the manifests of all ingesting jobs to their ends; the number of pages. `reopen`: as after a death."""
    s3, pages = s3_client(settings), 0
    sources: dict[UUID, ManifestSource] = {}
    while found := ingesting_jobs(engine):
        for job in found:
            source = sources.get(job.job_id)
            if source is None or reopen:
                source = sources[job.job_id] = ManifestSource(s3, settings, job)
            try:
                ingest_page(engine, source, settings, job)
                pages += 1
            except InputFailed as failure:
                put_off(engine, settings, job, failure)
            if reopen:
                source.close()
    for source in sources.values():
        source.close()
    return pages


def job_of(engine: Engine, job: UUID) -> Any:
    """The job as the API reads it; its counts must add up."""
    with engine.connect() as connection:
        row = connection.execute(*job_sql.job("default", job)).one()
    states = (row.pending, row.running, row.succeeded, row.failed, row.cancelled, row.expired)
    assert sum(states) == row.n_items
    return row


def items_of(engine: Engine, job: UUID) -> list[Any]:
    """The items as the API reads them, whose indexes have no gap."""
    with engine.connect() as connection:
        rows = connection.execute(*item_sql.item_page(job, None, start=0, limit=100_000)).all()
    assert [row.item_index for row in rows] == list(range(len(rows)))
    return list(rows)
