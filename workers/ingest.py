"""Prefix → items: one page of keys a step, in constant memory, resumable behind the job's cursor."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Connection, Engine

from db.statements import ingest as sql
from db.statements.stop import wake_dispatcher
from db.states import JobReason, chunk_size
from workers.failures import ItemFailed
from workers.reaper import stop_job
from workers.settings import Settings
from workers.storage import check_bucket, split_uri

log = logging.getLogger(__name__)

_PAGE = 1000
_REFUSED = {"NoSuchBucket", "AccessDenied", "403", "404", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@dataclass(frozen=True)
class Listing:
    """An ingesting job as its row says it."""

    job_id: UUID
    prefix: str
    glob: str
    task: dict[str, Any]
    n_items: int
    cursor: str | None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """`**/` any folders or none, `*` within a name, `?` one character, `[a-z]`, `{a,b}`; matched behind the prefix."""
    out, i, depth = "", 0, 0
    while i < len(glob):
        if glob.startswith("**/", i):
            out, i = out + "(?:.*/)?", i + 3
        elif glob.startswith("**", i):
            out, i = out + ".*", i + 2
        else:
            out, i, depth = _glob_one(glob, out, i, depth)
    return re.compile(out + (")" * depth), re.DOTALL)


def _glob_one(glob: str, out: str, i: int, depth: int) -> tuple[str, int, int]:
    simple = {"*": "[^/]*", "?": "[^/]"}
    char = glob[i]
    if char in simple:
        return out + simple[char], i + 1, depth
    if char == "[" and (end := glob.find("]", i + 2)) > 0:
        body = glob[i + 1 : end].replace("\\", "\\\\")
        body = "^" + body[1:] if body.startswith("!") else body.replace("^", "\\^")
        return f"{out}[{body}]", end + 1, depth
    if char == "{":
        return out + "(?:", i + 1, depth + 1
    if char == "}" and depth:
        return out + ")", i + 1, depth - 1
    if char == "," and depth:
        return out + "|", i + 1, depth
    return out + re.escape(char), i + 1, depth


def ingest_step(engine: Engine, s3: Any, settings: Settings) -> bool:
    """List one page of every ingesting job. True: there is more to list now."""
    with engine.connect() as connection:
        rows = connection.execute(sql.ingesting_jobs()).all()
    more = False
    for row in rows:
        source = row.input
        listing = Listing(
            row.id, source["prefix"], source.get("glob") or "**", row.task, row.n_items, row.ingest_cursor
        )
        more |= _page(engine, s3, settings, listing)
    return more


def _page(engine: Engine, s3: Any, settings: Settings, listing: Listing) -> bool:
    bucket, prefix = split_uri(listing.prefix)
    try:
        check_bucket(bucket, settings.buckets)
        after = {"StartAfter": listing.cursor} if listing.cursor else {}
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE, **after)
    except ItemFailed as error:
        stop_job(engine, listing.job_id, JobReason.BUCKET_NOT_ALLOWED, error.detail)
        return False
    except ClientError as error:
        return _unreadable(engine, listing, error)
    except BotoCoreError as error:
        log.warning("listing %s failed, will try again: %s", listing.prefix, error)
        return False
    keys = [entry["Key"] for entry in answer.get("Contents", [])]
    pattern = glob_pattern(listing.glob)
    wanted = [k for k in keys if not k.endswith("/") and pattern.fullmatch(k[len(prefix) :].lstrip("/"))]
    last = not answer.get("IsTruncated") or not keys
    _store(engine, listing, bucket, wanted, None if last else keys[-1])
    return not last


def _unreadable(engine: Engine, listing: Listing, error: ClientError) -> bool:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _REFUSED:
        stop_job(engine, listing.job_id, JobReason.INPUT_UNREADABLE, f"{listing.prefix}: {code}")
    else:
        log.warning("listing %s failed, will try again: %s", listing.prefix, error)
    return False


def _store(engine: Engine, listing: Listing, bucket: str, keys: list[str], cursor: str | None) -> None:
    """One transaction a page: count, copy, move the cursor; on the last page cut the chunks and open the job."""
    total = listing.n_items + len(keys)
    if cursor is None and total == 0:
        detail = f"no object under {listing.prefix} matches {listing.glob!r}"
        stop_job(engine, listing.job_id, JobReason.INPUT_EMPTY, detail)
        return
    with engine.begin() as connection:
        advance = sql.advance(listing.job_id, listing.cursor, listing.n_items, len(keys))
        if connection.execute(advance).one_or_none() is None:
            return
        _copy(connection, listing, bucket, keys)
        if cursor is not None:
            connection.execute(sql.move_cursor(listing.job_id, cursor))
            return
        prompted = listing.task.get("type") == "prompted"
        connection.execute(sql.open_job(listing.job_id, chunk_size(total, prompted=prompted)))
        connection.execute(sql.CUT_CHUNKS, {"job_id": listing.job_id})
        connection.execute(wake_dispatcher())


def _copy(connection: Connection, listing: Listing, bucket: str, keys: list[str]) -> None:
    prompts = listing.task.get("prompts")
    text = json.dumps(prompts) if prompts is not None else None
    with (
        connection.connection.driver_connection.cursor() as cursor,  # type: ignore[union-attr]
        cursor.copy("COPY items (job_id, index, custom_id, image, prompts) FROM STDIN") as copy,
    ):
        for row in _items(listing, bucket, keys, text):
            copy.write_row(row)


def _items(listing: Listing, bucket: str, keys: list[str], prompts: str | None) -> Iterator[tuple[object, ...]]:
    for index, key in enumerate(keys, start=listing.n_items):
        yield listing.job_id, index, str(index), f"s3://{bucket}/{key}", prompts
