"""Store a page of items: count, copy, move the token, in one transaction. The last page opens the job."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, Engine

from db import endings
from db.limits import chunk_size
from db.queues import TILED
from db.statements import ingest as sql
from db.statements.leader import wake_dispatcher
from db.statements.submit import COPY_ITEMS, open_items
from db.statements.tiles import raise_protocol
from db.states import ItemReason, JobReason, WaitReason
from workers.dispatcher.ingest.source import FailedItem, IngestingJob, InputFailed, ItemPage, Source
from workers.dispatcher.settings import Settings
from workers.testing import crash_points

log = logging.getLogger(__name__)

_MAX_DETAIL = 500


def ingest_page(engine: Engine, source: Source, settings: Settings, job: IngestingJob) -> bool:
    """Read the job's next page and store it. True: there is more to read. Raises InputFailed."""
    crash_points.reach("listing", job.job_id)
    page = source.page(job)
    total = job.n_items + len(page.items) + len(page.failed)
    with engine.begin() as connection:
        advance = sql.advance(
            job.job_id, job.pages, n_items=total, passed_over=page.passed_over, token=page.token, mark=page.mark
        )
        row = connection.execute(*advance).one_or_none()
        if row is None:
            return False
        _check_open_items(connection, settings, job)
        if job.pages == 0:
            connection.execute(*sql.forget_items(job.job_id))
        _store_items(connection, job, page)
        crash_points.reach("listed", job.job_id)
        if page.token is None:
            _open(connection, source, job, total, row.n_passed_over)
    return page.token is not None


def _check_open_items(connection: Connection, settings: Settings, job: IngestingJob) -> None:
    """Raise InputFailed where too many items would be open. The counts include this page."""
    row = connection.execute(*open_items(job.tenant)).one()
    limit = settings.max_open_items if row.max_open_items is None else row.max_open_items
    if row.open > limit:
        detail = f"{row.open} items would be open, of which a tenant may have {limit}"
        raise InputFailed(JobReason.TOO_MANY_OPEN_ITEMS, detail, for_good=True)
    if row.of_all > settings.max_open_items_total:
        detail = f"this installation takes {settings.max_open_items_total} unfinished items at a time"
        raise InputFailed(JobReason.TOO_MANY_OPEN_ITEMS, detail, for_good=True)


def _store_items(connection: Connection, job: IngestingJob, page: ItemPage) -> None:
    """Copy the items. Only where Postgres finds a custom_id of an earlier page, look for those that are taken."""
    try:
        with connection.begin_nested():
            _copy(connection, COPY_ITEMS, _item_rows(job, page))
    except UniqueViolation:
        page = _without_taken(connection, job, page)
        _copy(connection, COPY_ITEMS, _item_rows(job, page))
    if any(item.tile is not None for item in page.items):
        connection.execute(*raise_protocol(job.job_id, TILED))
    if page.failed:
        _copy(connection, sql.COPY_FAILED, _result_rows(job, page))
        for reason in {item.reason for item in page.failed}:
            n = sum(item.reason == reason for item in page.failed)
            connection.execute(*sql.count_failed(job.job_id, reason, n))


def _without_taken(connection: Connection, job: IngestingJob, page: ItemPage) -> ItemPage:
    """The page with a failure for each item whose custom_id an earlier page has."""
    ids = [item.custom_id for item in page.items] + [bad.custom_id for bad in page.failed]
    taken = set(connection.execute(*sql.taken_ids(job.job_id, ids)).scalars())
    kept = [(line, item) for line, item in zip(page.lines, page.items, strict=True) if item.custom_id not in taken]
    failed = [item._replace(custom_id=_new_id(item)) if item.custom_id in taken else item for item in page.failed]
    for line, item in zip(page.lines, page.items, strict=True):
        if item.custom_id in taken:
            detail = f"line {line}: custom_id: {item.custom_id!r} is the id of an earlier item"
            reason = ItemReason.INVALID_MANIFEST_LINE
            bad = FailedItem(item.item_index, item.custom_id, item.image, line, reason, detail)
            failed.append(bad._replace(custom_id=_new_id(bad)))
    return replace(page, items=[item for _, item in kept], lines=[line for line, _ in kept], failed=failed)


def _new_id(item: FailedItem) -> str:
    return f"line-{item.line}-{uuid4().hex[:12]}"


def _copy(connection: Connection, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
    with (
        connection.connection.driver_connection.cursor() as cursor,  # type: ignore[union-attr]
        cursor.copy(statement) as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _item_rows(job: IngestingJob, page: ItemPage) -> Iterator[tuple[object, ...]]:
    for item in page.items:
        yield job.job_id, *item
    for bad in page.failed:
        yield job.job_id, bad.item_index, bad.custom_id, bad.image, None, None


def _result_rows(job: IngestingJob, page: ItemPage) -> Iterator[tuple[object, ...]]:
    for bad in page.failed:
        yield job.job_id, bad.item_index, "failed", 0, 0, bad.reason.value, bad.detail[:_MAX_DETAIL], False


def _open(connection: Connection, source: Source, job: IngestingJob, total: int, passed_over: int) -> None:
    """ingesting → pending, or failed where nothing was found."""
    if total == 0:
        endings.stop_job(connection, job.job_id, JobReason.INPUT_EMPTY, source.nothing(passed_over))
        return
    n_failed = connection.execute(*sql.n_failed(job.job_id)).scalar_one()
    if n_failed == total:
        detail = f"none of its {total} lines is an item"
        endings.stop_job(connection, job.job_id, JobReason.INPUT_UNREADABLE, f"{job.name}: {detail}")
        return
    prompted, tiled = job.task.get("type") == "prompted", job.task.get("tile") is not None
    size = chunk_size(total, prompted=prompted, tiled=tiled)
    connection.execute(*sql.open_job(job.job_id, chunk_size=size))
    if n_failed:
        connection.execute(*sql.forget_counts(job.job_id))
        connection.execute(*sql.cut_chunks_with_results(job.job_id))
    else:
        connection.execute(*sql.cut_chunks(job.job_id))
    connection.execute(*wake_dispatcher())


def put_off(engine: Engine, settings: Settings, job: IngestingJob, failure: InputFailed) -> None:
    """Say in the job why it waits. It fails where waiting cannot help, or has lasted for too long."""
    detail = f"{job.name}: {failure.detail}".replace("\0", "")[:_MAX_DETAIL]
    waits = WaitReason.INTERNAL if failure.reason == JobReason.INTERNAL else WaitReason.STORAGE_UNAVAILABLE
    patience = settings.listing_patience_seconds
    wait = sql.wait(job.job_id, job.pages, reason=waits, detail=detail, patience_seconds=patience)
    with engine.begin() as connection:
        over = connection.execute(*wait).scalar_one_or_none()
    if over is None or not (over or failure.for_good):
        return
    log.warning("ingesting ended: job %s: %s: %s", job.job_id, failure.reason, detail)
    with engine.begin() as connection:
        endings.stop_job(connection, job.job_id, failure.reason, detail)
