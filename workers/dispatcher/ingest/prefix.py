"""From a prefix to items: one page of keys at a time, in constant memory, resumable by the store's token."""

import logging
from typing import Any

from db.allow_list import AllowList
from db.globs import CONTROL_CHARACTERS, GlobError, key_filter
from db.image_page import page_of
from db.object_uri import VERSION_MARK, split_uri
from db.states import JobReason
from intake.item import ItemRow
from workers.dispatcher.ingest.listing import Page, list_page, no_progress
from workers.dispatcher.ingest.source import IngestingJob, InputFailed, ItemPage
from workers.dispatcher.settings import Settings
from workers.failures import ItemFailed
from workers.storage.client import check_allowed

log = logging.getLogger(__name__)

_MAX_SHOWN = 500


class PrefixSource:
    """The keys under the prefix of one job."""

    def __init__(self, s3: Any, settings: Settings, job: IngestingJob) -> None:
        self._s3 = s3
        self._settings = settings
        self._uri = str(job.source["prefix"])
        self._glob: str | None = job.source.get("glob")

    def page(self, job: IngestingJob) -> ItemPage:
        """One page of keys. Raises InputFailed."""
        place = split_uri(self._uri)
        try:
            check_allowed(self._uri, AllowList(self._settings.buckets, job.places))
            wanted = key_filter(self._glob)
        except ItemFailed as error:
            raise InputFailed(JobReason.BUCKET_NOT_ALLOWED, error.detail, for_good=True) from error
        except GlobError as error:
            raise InputFailed(JobReason.INPUT_UNREADABLE, f"glob: {error}", for_good=True) from error
        page = list_page(self._s3, place.bucket, place.key, job.token)
        self._check_progress(job, page)
        objects = [key for key in page.keys if not key.endswith("/")]
        safe = [key for key in objects if _is_safe(key, place.key)]
        if len(safe) < len(objects):
            odd = next(key for key in objects if not _is_safe(key, place.key))
            log.warning(
                "%s: %d keys cannot be taken, such as %r", self._uri, len(objects) - len(safe), odd[:_MAX_SHOWN]
            )
        taken = [key for key in safe if wanted(key[len(place.key) :].lstrip("/"))]
        items = [
            ItemRow(index, str(index), f"s3://{place.bucket}/{key}", None)
            for index, key in enumerate(taken, start=job.n_items)
        ]
        return ItemPage(items, page.token, passed_over=len(objects) - len(taken), mark=_mark(job, page))

    def _check_progress(self, job: IngestingJob, page: Page) -> None:
        """Raise InputFailed where the listing repeats itself or is too long."""
        if page.digest == job.mark:
            raise no_progress("gives the same page again")
        if job.pages >= self._settings.max_listing_pages:
            detail = f"more than {self._settings.max_listing_pages} pages of keys: choose a longer prefix"
            raise InputFailed(JobReason.INPUT_UNREADABLE, detail, for_good=True)

    def nothing(self, passed_over: int) -> str:
        """The error of a job without items."""
        rule = "the default filter" if self._glob is None else f"the glob {self._glob!r}"
        return f"no key under {self._uri} matches {rule}; {passed_over} were passed over"

    def close(self) -> None:
        """A listing keeps nothing."""


def _is_safe(key: str, prefix: str) -> bool:
    """Whether the key lies under the prefix, can be stored, and means the same object to every reader of its URI."""
    odd = CONTROL_CHARACTERS.search(key) or {".", ".."} & set(key.split("/"))
    marked = VERSION_MARK in key or page_of(key) is not None
    return key.startswith(prefix) and not odd and not marked


def _mark(job: IngestingJob, page: Page) -> bytes | None:
    """The digest that later pages are compared with: of page 1, 2, 4, 8, … This finds a loop of any length (Brent)."""
    number = job.pages + 1
    return page.digest if number & (number - 1) == 0 else job.mark
