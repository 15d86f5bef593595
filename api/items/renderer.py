"""Pictures of items, drawn in threads of their own: other answers wait neither for S3 nor for decoders."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, Request

from api.items.origin import Origin
from api.refusals import StorageUnavailable
from api.settings import Settings


class Renderer:
    """MASKWORKS_OVERLAY_THREADS pictures are drawn at a time. Others wait, up to MASKWORKS_OVERLAY_SECONDS."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.overlay_threads, "overlay")

    async def png(self, origin: Origin) -> bytes:
        """The overlay in full size. Raises a Problem."""
        return await self._drawn(lambda: self._picture.png(self._store, origin))

    async def jpeg(self, origin: Origin, side: int) -> bytes:
        """The overlay with its longer side of `side` pixels at most. Raises a Problem."""
        return await self._drawn(lambda: self._picture.jpeg(self._store, origin, side))

    async def _drawn(self, draw: Callable[[], bytes]) -> bytes:
        loop, seconds = asyncio.get_running_loop(), self._settings.overlay_seconds
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, draw)
        except TimeoutError as error:
            raise StorageUnavailable(f"the picture was not drawn within {seconds:g} s: try again later") from error

    def close(self) -> None:
        """Forget those that wait. A thread that reads ends with its image."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _picture(self) -> Any:
        from api.items import picture

        return picture

    @cached_property
    def _store(self) -> Any:
        return self._picture.open_store(self._settings)


async def _renderer(request: Request) -> Renderer:
    renderer: Renderer = request.app.state.renderer
    return renderer


CurrentRenderer = Annotated[Renderer, Depends(_renderer)]
