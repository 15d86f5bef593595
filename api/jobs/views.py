"""Answers about jobs: rows of the database → JSON."""

import hashlib
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Row

from api.jobs.progress import Progress, progress_view
from db.ids import show_job_id
from db.output import manifest_uri
from db.states import FINAL_JOB_STATES, ItemReason, ItemState, JobState, OutputState, WaitReason


class Counts(BaseModel):
    """Items by state. The six add up to `total`."""

    total: int
    pending: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class FailureCount(BaseModel):
    reason: str = Field(examples=[ItemReason.OBJECT_NOT_FOUND])
    count: int


class JobError(BaseModel):
    reason: str
    detail: str | None


class OutputLink(BaseModel):
    """A presigned URL of one file. Whoever has it may read the file until it expires."""

    format: str | None = Field(description="The file's format; null for the manifest")
    number: int | None = Field(description="Which file of its format; null for the manifest")
    url: str


class Output(BaseModel):
    """The files that a job writes to S3."""

    uri: str = Field(description="As given at submit", examples=["s3://bucket/out/"])
    formats: list[str]
    state: OutputState = Field(description="It is written once the job is done")
    manifest: str | None = Field(
        description="The file that names all others. It is there, and this is set, once they all are",
        examples=["s3://bucket/out/job_0198a3c2f0b47d21a5e94c0b6f3d8e17/manifest.json"],
    )
    error: JobError | None = Field(
        description="Why it failed. Of an output that is not final: why the last try did; it is tried again"
    )
    links: list[OutputLink] | None = Field(
        None,
        description="Presigned links to the manifest and to the first files. Only in `GET /v1/jobs/{job_id}`, of a "
        "complete output, and where the API has S3 keys",
    )
    links_expire_time: datetime | None = None


class Job(BaseModel):
    """A job."""

    id: str = Field(examples=["job_0198a3c2f0b47d21a5e94c0b6f3d8e17"])
    name: str | None
    labels: dict[str, str]
    state: JobState
    done: bool = Field(description="True in the five final states, which never change again")
    model: str
    precision: str | None
    priority: int
    task: dict[str, Any]
    input: dict[str, Any]
    deadline: datetime | None
    max_failure_ratio: float | None
    reuse: bool = Field(description="Whether items may take over results of earlier jobs")
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    counts: Counts
    progress: Progress
    failures: list[FailureCount]
    passed_over: int = Field(description="Keys under the prefix that the glob, or the default filter, left out")
    waiting_for: WaitReason | None = Field(description="Why the job makes no progress; null if it does")
    waiting_detail: str | None
    error: JobError | None = Field(description="Why the job as a whole ended early")
    output: Output | None = Field(description="Null if none was asked for")
    retry_of: str | None = Field(description="The job whose items it retries. That job may be deleted since")
    links: dict[str, str]


class Validated(BaseModel):
    """The answer to `validate_only`."""

    valid: bool
    counts: dict[str, int | None]
    errors: list[dict[str, str]]


class JobPage(BaseModel):
    jobs: list[Job]
    next_page_token: str | None = None


def job_view(row: Row[Any]) -> Job:
    """A row of `db.statements.jobs.job`."""
    counts = Counts(total=row.n_items, **{s.value: getattr(row, s.value) for s in ItemState})
    shown = show_job_id(row.id)
    done = row.state in FINAL_JOB_STATES
    waiting_for = _waiting_for(row, done)
    error = JobError(reason=row.error_reason, detail=row.error_detail) if row.error_reason else None
    return Job(
        id=shown,
        name=row.name,
        labels=row.labels,
        state=row.state,
        done=done,
        model=row.model,
        precision=row.precision,
        priority=row.priority,
        task=row.task,
        input=row.input,
        deadline=row.deadline,
        max_failure_ratio=row.max_failure_ratio,
        reuse=row.reuse,
        create_time=row.created_at,
        start_time=row.started_at,
        end_time=row.ended_at,
        counts=counts,
        progress=progress_view(row, counts.pending + counts.running, done=done, waits=waiting_for is not None),
        failures=row.failures or [],
        passed_over=row.n_passed_over,
        waiting_for=waiting_for,
        waiting_detail=None if done else row.waiting_detail,
        error=error,
        output=_output(row),
        retry_of=show_job_id(row.retry_of) if row.retry_of else None,
        links=_links(shown, show_job_id(row.retry_of) if row.retry_of else None),
    )


def _output(row: Row[Any]) -> Output | None:
    if row.output_state is None:
        return None
    error = None
    if row.output_error_reason is not None:
        error = JobError(reason=row.output_error_reason, detail=row.output_error_detail)
    complete = row.output_state == OutputState.COMPLETE
    return Output(
        uri=row.output_uri,
        formats=row.output_formats,
        state=row.output_state,
        manifest=manifest_uri(row.output_uri, row.id) if complete else None,
        error=error,
    )


def _waiting_for(row: Row[Any], done: bool) -> WaitReason | None:
    if done:
        return None
    if row.waiting_for is not None:
        return WaitReason(row.waiting_for)
    return None if row.has_worker else WaitReason.NO_WORKER


def _links(job_id: str, retry_of: str | None) -> dict[str, str]:
    me = f"/v1/jobs/{job_id}"
    links = {"self": me, "items": f"{me}/items", "results": f"{me}/results?format=jsonl", "events": f"{me}/events"}
    acts = {"cancel": f"{me}:cancel", "retry": f"{me}:retry"}
    return links | acts | ({"retry_of": f"/v1/jobs/{retry_of}"} if retry_of else {})


def job_etag(job: Job) -> str:
    """Changes only with the state, the counts, and the state of the output."""
    output = "" if job.output is None else job.output.state.value
    seen = f"{job.id} {job.state.value} {job.counts.model_dump_json()} {output}"
    return f'"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'
