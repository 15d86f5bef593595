"""Uploads are written to S3 by threads of their own: other answers do not wait for it."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import IO, Any, Final

from api.refusals import UploadNotStored
from api.settings import Settings
from api.store_access import store_access
from db.object_uri import split_uri

log = logging.getLogger("maskworks.api")

_THREADS: Final = 8
_PAUSES: Final = (0.1, 0.5)
"""Seconds between tries. Some stores fail one of two writes of the same object at a time."""


class UploadStore:
    """boto3 is imported and opened at the first upload."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, "upload")

    async def put(self, uri: str, file: IO[bytes], size: int) -> None:
        """Write an object, or write it again. Raises UploadNotStored."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._put, uri, file, size)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put(self, uri: str, file: IO[bytes], size: int) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        parts = split_uri(uri)
        for pause in (*_PAUSES, None):
            file.seek(0)
            try:
                # No type of its own: a browser that follows a link to the object must not run what is in it.
                self._client.put_object(
                    Bucket=parts.bucket,
                    Key=parts.key,
                    Body=file,
                    ContentLength=size,
                    ContentType="application/octet-stream",
                )
            except (BotoCoreError, ClientError) as error:
                if pause is None or _is_refused(error):
                    log.error("an upload was not stored: %s: %s", uri, error)
                    raise UploadNotStored("the store did not take the image: try again later") from error
                time.sleep(pause)
            else:
                return

    @cached_property
    def _client(self) -> Any:
        from workers.storage.client import s3_client

        return s3_client(store_access(self._settings), _THREADS)


def _is_refused(error: Exception) -> bool:
    """Whether the store would say the same again."""
    answer: dict[str, Any] = getattr(error, "response", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return bool(400 <= status < 500 and status != 429)
