"""From a prefix to items: one page of keys at a time, in constant memory, resumable by the store's token."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import endings
from db.globs import CONTROL_CHARACTERS, GlobError, key_filter
from db.limits import chunk_size
from db.object_uri import VERSION_MARK, split_uri
from db.statements import ingest as sql
from db.statements.leader import wake_dispatcher
from db.statements.submit import COPY_ITEMS, open_items
from db.states import JobReason, WaitReason
from workers.dispatcher.ingest.listing import ListingFailed, Page, list_page, no_progress
from workers.dispatcher.settings import Settings
from workers.failures import ItemFailed
from workers.storage.client import check_bucket
from workers.testing import crash_points

log = logging.getLogger(__name__)

_MAX_DETAIL = 500


@dataclass(frozen=True)
class Listing:
    """The row of an ingesting job."""

    job_id: UUID
    tenant: str
    source: dict[str, Any]
    task: dict[str, Any]
    n_items: int
    pages: int
    token: str | None
    mark: bytes | None

    @property
    def prefix(self) -> str:
        return str(self.source["prefix"])

    @property
    def glob(self) -> str | None:
        return self.source.get("glob")


def listings(engine: Engine) -> list[Listing]:
    with engine.connect() as connection:
        rows = connection.execute(*sql.ingesting_jobs()).all()
    return [_listing(row) for row in rows]


def _listing(row: Any) -> Listing:
    return Listing(
        job_id=row.id,
        tenant=row.tenant_id,
        source=row.input,
        task=row.task,
        # Releases before pages were counted listed by keys. `_store` forgets their items and begins again.
        n_items=row.n_items if row.ingest_pages else 0,
        pages=row.ingest_pages,
        token=row.ingest_token,
        mark=row.ingest_mark,
    )


def ingest_page(engine: Engine, s3: Any, settings: Settings, listing: Listing) -> bool:
    """List the job's next page and store it. True: there is more to list. Raises ListingFailed."""
    crash_points.reach("listing", listing.job_id)
    source = split_uri(listing.prefix)
    bucket, prefix = source.bucket, source.key
    try:
        check_bucket(bucket, settings.buckets)
        wanted = key_filter(listing.glob)
    except ItemFailed as error:
        raise ListingFailed(JobReason.BUCKET_NOT_ALLOWED, error.detail, for_good=True) from error
    except GlobError as error:
        raise ListingFailed(JobReason.INPUT_UNREADABLE, f"glob: {error}", for_good=True) from error
    page = list_page(s3, bucket, prefix, listing.token)
    objects = [key for key in page.keys if not key.endswith("/")]
    safe = [key for key in objects if _is_safe(key, prefix)]
    if len(safe) < len(objects):
        odd = next(key for key in objects if not _is_safe(key, prefix))
        log.warning(
            "%s: %d keys cannot be taken, such as %r", listing.prefix, len(objects) - len(safe), odd[:_MAX_DETAIL]
        )
    images = [f"s3://{bucket}/{key}" for key in safe if wanted(key[len(prefix) :].lstrip("/"))]
    return _store(engine, settings, listing, page, images, len(objects) - len(images))


def _is_safe(key: str, prefix: str) -> bool:
    """Whether the key lies under the prefix, can be stored, and means the same object to every reader of its URI."""
    odd = CONTROL_CHARACTERS.search(key) or VERSION_MARK in key or {".", ".."} & set(key.split("/"))
    return key.startswith(prefix) and not odd


def _store(
    engine: Engine, settings: Settings, listing: Listing, page: Page, images: list[str], passed_over: int
) -> bool:
    """Store a page in one transaction: count, copy the items, move the token. The last page opens the job."""
    total = listing.n_items + len(images)
    mark = _mark(listing, page)
    with engine.begin() as connection:
        advance = sql.advance(
            listing.job_id, listing.pages, n_items=total, passed_over=passed_over, token=page.token, mark=mark
        )
        row = connection.execute(*advance).one_or_none()
        if row is None:
            return False
        _check_bounds(connection, settings, listing, page)
        if listing.pages == 0:
            connection.execute(*sql.forget_items(listing.job_id))
        _copy(connection, listing, images)
        crash_points.reach("listed", listing.job_id)
        if page.token is None:
            _open(connection, listing, total, row.n_passed_over)
    return page.token is not None


def _mark(listing: Listing, page: Page) -> bytes | None:
    """The digest that later pages are compared with: of page 1, 2, 4, 8, … This finds a loop of any length (Brent)."""
    number = listing.pages + 1
    return page.digest if number & (number - 1) == 0 else listing.mark


def _check_bounds(connection: Connection, settings: Settings, listing: Listing, page: Page) -> None:
    """Raise ListingFailed where the listing repeats itself or is too long. The counts include this page."""
    if page.digest == listing.mark:
        raise no_progress("gives the same page again")
    if listing.pages >= settings.max_listing_pages:
        detail = f"more than {settings.max_listing_pages} pages of keys: choose a longer prefix"
        raise ListingFailed(JobReason.INPUT_UNREADABLE, detail, for_good=True)
    row = connection.execute(*open_items(listing.tenant)).one()
    limit = settings.max_open_items if row.max_open_items is None else row.max_open_items
    if row.open > limit:
        detail = f"{row.open} items would be open, of which a tenant may have {limit}"
        raise ListingFailed(JobReason.TOO_MANY_OPEN_ITEMS, detail, for_good=True)
    if row.of_all > settings.max_open_items_total:
        detail = f"this installation takes {settings.max_open_items_total} unfinished items at a time"
        raise ListingFailed(JobReason.TOO_MANY_OPEN_ITEMS, detail, for_good=True)


def _copy(connection: Connection, listing: Listing, images: list[str]) -> None:
    with (
        connection.connection.driver_connection.cursor() as cursor,  # type: ignore[union-attr]
        cursor.copy(COPY_ITEMS) as copy,
    ):
        for row in _items(listing, images):
            copy.write_row(row)


def _items(listing: Listing, images: list[str]) -> Iterator[tuple[object, ...]]:
    for index, image in enumerate(images, start=listing.n_items):
        yield listing.job_id, index, str(index), image, None


def _open(connection: Connection, listing: Listing, total: int, passed_over: int) -> None:
    """ingesting → pending, or failed where nothing was found."""
    if total == 0:
        rule = "the default filter" if listing.glob is None else f"the glob {listing.glob!r}"
        detail = f"no key under {listing.prefix} matches {rule}; {passed_over} were passed over"
        endings.stop_job(connection, listing.job_id, JobReason.INPUT_EMPTY, detail)
        return
    prompted = listing.task.get("type") == "prompted"
    connection.execute(*sql.open_job(listing.job_id, chunk_size=chunk_size(total, prompted=prompted)))
    connection.execute(*sql.cut_chunks(listing.job_id))
    connection.execute(*wake_dispatcher())


def put_off(engine: Engine, settings: Settings, listing: Listing, failure: ListingFailed) -> None:
    """Say in the job why it waits. It fails where waiting cannot help, or has lasted for too long."""
    detail = f"{listing.source.get('prefix', 'no prefix')}: {failure.detail}".replace("\0", "")[:_MAX_DETAIL]
    waits = WaitReason.INTERNAL if failure.reason == JobReason.INTERNAL else WaitReason.STORAGE_UNAVAILABLE
    patience = settings.listing_patience_seconds
    wait = sql.wait(listing.job_id, listing.pages, reason=waits, detail=detail, patience_seconds=patience)
    with engine.begin() as connection:
        over = connection.execute(*wait).scalar_one_or_none()
    if over is None or not (over or failure.for_good):
        return
    log.warning("listing ended: job %s: %s: %s", listing.job_id, failure.reason, detail)
    with engine.begin() as connection:
        endings.stop_job(connection, listing.job_id, failure.reason, detail)
