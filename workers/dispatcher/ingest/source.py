"""What ingesting needs to know of a source of items: pages, and where the next one begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Engine

from db.statements import ingest as sql
from db.states import ItemReason, JobReason
from intake.item import ItemRow


class InputFailed(Exception):
    """The input of a job cannot be read, now or for good."""

    def __init__(self, reason: JobReason, detail: str, *, for_good: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.for_good = for_good


@dataclass(frozen=True)
class IngestingJob:
    """The row of an ingesting job: what it reads, and how far it is."""

    job_id: UUID
    tenant: str
    source: dict[str, Any]
    task: dict[str, Any]
    n_items: int
    pages: int
    token: str | None
    mark: bytes | None
    places: Sequence[str] | None
    """What the tenant may use, as its list stands now."""

    @property
    def name(self) -> str:
        """What the job reads, for people."""
        return str(self.source.get("manifest") or self.source.get("prefix") or "no prefix")


class FailedItem(NamedTuple):
    """An item that is stored with its failure, because its line of a manifest is none."""

    item_index: int
    custom_id: str
    image: str
    line: int
    reason: ItemReason
    detail: str


@dataclass(frozen=True)
class ItemPage:
    """Items of a source. `token` says where the next page begins; None ends the input.

    `lines` has the number of each item's line, where the source has lines.
    """

    items: Sequence[ItemRow]
    token: str | None
    failed: Sequence[FailedItem] = ()
    lines: Sequence[int] = ()
    passed_over: int = 0
    mark: bytes | None = None


class Source(Protocol):
    """The input of one job. It may keep a connection between two pages, and goes on from any token without one."""

    def page(self, job: IngestingJob) -> ItemPage:
        """The page after `job.token`. Raises InputFailed."""
        ...

    def nothing(self, passed_over: int) -> str:
        """The job's error where the whole input has no item."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def ingesting_jobs(engine: Engine) -> list[IngestingJob]:
    """Every job whose input is not wholly read, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(*sql.ingesting_jobs()).all()
    return [_job(row) for row in rows]


def _job(row: Any) -> IngestingJob:
    return IngestingJob(
        job_id=row.id,
        tenant=row.tenant_id,
        source=row.input,
        task=row.task,
        # Releases before pages were counted listed by keys. Storing the first page forgets their items.
        n_items=row.n_items if row.ingest_pages else 0,
        pages=row.ingest_pages,
        token=row.ingest_token,
        mark=row.ingest_mark,
        places=row.places,
    )
