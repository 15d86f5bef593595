"""Overlays, drawn in threads of their own: other answers wait neither for S3 nor for decoders."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from api.items.origin import Origin
from api.refusals import StorageUnavailable
from api.settings import Settings


class Renderer:
    """MASKWORKS_OVERLAY_THREADS overlays are drawn at a time. Others wait, up to MASKWORKS_OVERLAY_SECONDS."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.overlay_threads, "overlay")

    async def png(self, origin: Origin) -> bytes:
        """Raises a Problem."""
        loop, seconds = asyncio.get_running_loop(), self._settings.overlay_seconds
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, self._png, origin)
        except TimeoutError as error:
            raise StorageUnavailable(f"the overlay was not drawn within {seconds:g} s: try again later") from error

    def close(self) -> None:
        """Forget those that wait. A thread that reads ends with its image."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _png(self, origin: Origin) -> bytes:
        from api.items import picture

        return picture.png(self._store, origin)

    @cached_property
    def _store(self) -> Any:
        from api.items import picture

        return picture.open_store(self._settings)
