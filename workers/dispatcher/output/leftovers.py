"""Remove what earlier writers of an output left behind: uploads that were not ended, files that were not recorded.

Nobody reads them, because no manifest names them. So a store that refuses this is no reason to stop.
"""

import logging
from collections.abc import Set

from db.output import MANIFEST, fence_of
from workers.dispatcher.output.held import Held
from workers.dispatcher.output.store import Store, StoreFailed

log = logging.getLogger(__name__)


async def remove_leftovers(store: Store, held: Held, recorded: Set[str]) -> None:
    """Those of writers with a lower fence. What is not the name of a shard is never touched."""
    await _remove(store, held, recorded, held.fence)


async def remove_all(store: Store, held: Held) -> None:
    """Everything of an output whose job was deleted while it was written, the manifest first."""
    try:
        await store.call("delete_object", Bucket=held.bucket, Key=held.folder + MANIFEST)
    except StoreFailed as failure:
        log.warning("the manifest below %s was not removed: %s", held.folder, failure)
    await _remove(store, held, frozenset(), held.fence + 1)


async def _remove(store: Store, held: Held, recorded: Set[str], below: int) -> None:
    try:
        await _end_uploads(store, held, below)
        async for name in store.names(held.bucket, held.folder):
            if _is_of(name, below) and name not in recorded:
                await store.call("delete_object", Bucket=held.bucket, Key=held.folder + name)
    except StoreFailed as failure:
        log.warning("what may be left below s3://%s/%s was not removed: %s", held.bucket, held.folder, failure)


async def _end_uploads(store: Store, held: Held, below: int) -> None:
    try:
        answer = await store.call("list_multipart_uploads", tries=1, Bucket=held.bucket, Prefix=held.folder)
    except StoreFailed as failure:  # some stores answer so if there is none
        log.info("uploads below %s were not listed: %s", held.folder, failure)
        return
    for upload in answer.get("Uploads", ()):
        if _is_of(upload["Key"].removeprefix(held.folder), below):
            at = {"Bucket": held.bucket, "Key": upload["Key"]}
            await store.call("abort_multipart_upload", **at, UploadId=upload["UploadId"])


def _is_of(name: str, below: int) -> bool:
    fence = fence_of(name)
    return fence is not None and fence < below
