"""S3 as an event loop writes to it: each call in a thread, tried again where that may help."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from db.states import OutputReason
from workers.storage.refusals import WRITE_ERRORS, describe, write_refusal

log = logging.getLogger(__name__)

_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.4
_LONGEST_PAUSE: Final = 8.0
_CALL_SECONDS: Final = 120.0
"""A call that takes longer is given up. Its thread ends when the connection does."""


class StoreFailed(Exception):
    """S3 refused for good, or has failed at every try."""

    def __init__(self, reason: OutputReason, detail: str, *, for_good: bool) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.for_good = for_good


class Store:
    """One client for all outputs of the process."""

    def __init__(self, client: Any, at_once: int) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(2 * at_once, thread_name_prefix="output-s3")

    async def call(self, operation: str, *, tries: int = _TRIES, **parameters: Any) -> Any:
        """The answer of a method of boto3's client. Raises StoreFailed."""
        for n in range(1, tries + 1):
            try:
                return await self._once(operation, parameters)
            except WRITE_ERRORS as error:
                refused = write_refusal(error)
                if refused is not None:
                    raise StoreFailed(refused, describe(error), for_good=True) from error
                log.info("%s failed, try %d of %d: %s", operation, n, tries, describe(error))
                if n == tries:
                    raise StoreFailed(OutputReason.STORAGE_UNAVAILABLE, describe(error), for_good=False) from error
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (n - 1)) * (0.5 + random.random() / 2))
        raise AssertionError("the last try raises")

    async def _once(self, operation: str, parameters: dict[str, Any]) -> Any:
        call = partial(getattr(self._client, operation), **parameters)
        async with asyncio.timeout(_CALL_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def names(self, bucket: str, folder: str) -> AsyncGenerator[str, None]:
        """The keys of a folder, without the folder. Tried once. Raises StoreFailed."""
        token: dict[str, Any] = {}
        while True:
            answer = await self.call("list_objects_v2", tries=1, Bucket=bucket, Prefix=folder, **token)
            for entry in answer.get("Contents", ()):
                yield entry["Key"].removeprefix(folder)
            if not answer.get("NextContinuationToken"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
