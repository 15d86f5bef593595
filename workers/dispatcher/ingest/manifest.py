"""From a manifest in S3 to items: a few thousand lines at a time, in constant memory, resumable by line and byte."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from db.allow_list import AllowList
from db.object_uri import UriError, image_uri, split_uri
from db.states import ItemReason, JobReason
from intake.fields import is_plain_text
from intake.item import Fault, ItemRow, Prompting
from intake.item_lines import ItemLine, check_lines
from intake.line_formats import BadLine, LineFormat, csv_header, csv_line, json_line
from intake.lines import Line, Lines
from workers.dispatcher.ingest.object_text import Identity, ObjectText
from workers.dispatcher.ingest.source import FailedItem, IngestingJob, InputFailed, ItemPage
from workers.dispatcher.settings import Settings
from workers.failures import ItemFailed
from workers.storage.client import check_allowed

PAGE_LINES: Final = 10_000
_PAGE_BYTES: Final = 8 * 1024 * 1024
_PAGE_SECONDS: Final = 5.0
"""A slow store's page ends here, so that the job's progress is kept."""


@dataclass(frozen=True)
class Cursor:
    """Where the next page begins: JSON in the job's `ingest_token`."""

    etag: str
    size: int
    packed: bool
    offset: int
    line: int
    columns: tuple[str, ...] | None

    @classmethod
    def read(cls, token: str) -> "Cursor":
        return cls(**orjson.loads(token))

    def token(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @property
    def identity(self) -> Identity:
        return Identity(self.etag, self.size, self.packed)


class ManifestSource:
    """The lines of one job's manifest. The object stays open between two pages."""

    def __init__(self, s3: Any, settings: Settings, job: IngestingJob) -> None:
        self._s3 = s3
        self._settings = settings
        self._uri = str(job.source["manifest"])
        self._prompting = Prompting.of(job.task, shared="prompts" in job.source)
        self._text: ObjectText | None = None
        self._lines = Lines(settings.max_line_bytes)
        self._columns: Sequence[str] | None = None
        self._token: str | None = None

    @property
    def _is_csv(self) -> bool:
        return split_uri(self._uri).key.lower().removesuffix(".gz").endswith(".csv")

    def page(self, job: IngestingJob) -> ItemPage:
        """A few thousand lines. Raises InputFailed."""
        if self._text is None or job.token != self._token:
            self._open(job)
        items: list[ItemRow] = []
        failed: list[FailedItem] = []
        lines: list[int] = []
        seen: set[str] = set()
        ended = False
        until = time.monotonic() + _PAGE_SECONDS
        begin = self._lines.offset
        while not ended and not self._is_full(len(items) + len(failed), self._lines.offset - begin, until, job, items):
            read, ended = self._read_lines()
            start = job.n_items + len(items) + len(failed)
            for line in check_lines(read, self._format(), self._prompting, start, self._settings.max_line_bytes):
                if line.row is not None and not line.faults and line.row.custom_id not in seen:
                    items.append(line.row)
                    lines.append(line.number)
                    seen.add(line.row.custom_id)
                else:
                    failed.append(self._failed(line, seen))
            self._check_count(job.n_items + len(items) + len(failed))
        if job.pages == 0 and failed and not items:
            detail = f"none of its first {len(failed)} lines is an item; {failed[0].detail}"
            raise InputFailed(JobReason.INPUT_UNREADABLE, detail, for_good=True)
        self._token = None if ended else self._cursor().token()
        return ItemPage(items, self._token, failed, lines)

    def _is_full(self, n: int, n_bytes: int, until: float, job: IngestingJob, items: Sequence[ItemRow]) -> bool:
        """The first page goes on until it has an item, or so many lines that it is no manifest."""
        late = time.monotonic() > until and (job.pages > 0 or len(items) > 0)
        return n >= PAGE_LINES or n_bytes >= _PAGE_BYTES or late

    def _open(self, job: IngestingJob) -> None:
        self.close()
        uri = split_uri(self._uri)
        self._check_allowed(job)
        longest = self._settings.max_manifest_bytes
        cursor = None if job.token is None else Cursor.read(job.token)
        if cursor is None:
            self._text = ObjectText(self._s3, uri, longest)
            self._lines, self._columns = Lines(self._settings.max_line_bytes), None
            return
        self._text = ObjectText(self._s3, uri, longest, cursor.offset, cursor.identity)
        self._lines = Lines(self._settings.max_line_bytes, number=cursor.line, offset=cursor.offset)
        self._columns = cursor.columns

    def _check_allowed(self, job: IngestingJob) -> None:
        try:
            check_allowed(self._uri, AllowList(self._settings.buckets, job.places))
        except ItemFailed as error:
            raise InputFailed(JobReason.BUCKET_NOT_ALLOWED, error.detail, for_good=True) from error

    def _cursor(self) -> Cursor:
        assert self._text is not None
        columns = None if self._columns is None else tuple(self._columns)
        return Cursor(
            **asdict(self._text.identity), offset=self._lines.offset, line=self._lines.number, columns=columns
        )

    def _read_lines(self) -> tuple[Sequence[Line], bool]:
        """The lines that end in the next piece, and whether it was the last. The header of a CSV is none of them."""
        assert self._text is not None
        piece = self._text.piece()
        read = [*(self._lines.feed(piece) if piece else self._lines.end())]
        if self._is_csv and self._columns is None:
            while read and self._columns is None:
                first = read.pop(0)
                if not first.is_blank:
                    self._columns = _header(first)
        return read, not piece

    def _format(self) -> LineFormat:
        return json_line if not self._is_csv else csv_line(self._columns or ())

    def _failed(self, line: ItemLine, seen: set[str]) -> FailedItem:
        """The item of a bad line. It keeps its own custom_id and image where they can be read."""
        raw = line.raw if isinstance(line.raw, dict) else {}
        own = line.row.custom_id if line.row is not None else raw.get("custom_id")
        fault = line.faults[0] if line.faults else Fault("/custom_id", f"{own!r} is the id of an earlier item")
        at = fault.pointer.removeprefix("/").replace("/", ".")
        detail = f"line {line.number}: {at}: {fault.detail}" if at else f"line {line.number}: {fault.detail}"
        custom_id = own if is_plain_text(own) and own not in seen else f"line-{line.number}"
        if custom_id in seen:
            custom_id = f"line-{line.number}-{line.item_index}"
        seen.add(custom_id)
        image = raw.get("image")
        image = image if isinstance(image, str) and _is_image(image) else self._uri
        return FailedItem(
            line.item_index, custom_id, image, line.number, ItemReason.INVALID_MANIFEST_LINE, detail.replace("\0", "")
        )

    def _check_count(self, n: int) -> None:
        if max(n, self._lines.number // 2) > self._settings.max_manifest_items:  # blank lines take time, too
            limit = f"{self._settings.max_manifest_items} items (MASKWORKS_MAX_MANIFEST_ITEMS)"
            raise InputFailed(
                JobReason.INPUT_UNREADABLE, f"it has more than {limit}: submit several jobs", for_good=True
            )

    def nothing(self, passed_over: int) -> str:  # noqa: ARG002
        """The error of a job without items."""
        return f"{self._uri} has no line with an item"

    def close(self) -> None:
        """Close the object."""
        if self._text is not None:
            self._text.close()
            self._text = None


def _header(line: Line) -> tuple[str, ...]:
    try:
        if line.text is None:
            raise BadLine("the header is too long")
        return csv_header(line.text)
    except BadLine as error:
        raise InputFailed(JobReason.INPUT_UNREADABLE, f"line {line.number}: {error}", for_good=True) from error


def _is_image(text: str) -> bool:
    try:
        image_uri(text)
    except UriError:
        return False
    return True
