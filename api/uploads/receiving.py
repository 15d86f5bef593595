"""The body of an upload → a file without a name, while its size, its kind and its digest are found out."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any, Final

from fastapi import Request

from api.http.bodies import BodyRoom, body_into
from api.refusals import BodiesTooLarge, BodyTooLarge, ImageFailed, InvalidBody
from api.settings import Settings
from api.tenant import Tenant
from db.states import ItemReason

_HEAD: Final = 256
"""Bytes that show what a file is."""


class Received:
    """A whole body, once `finish` was called. The system removes the file when it is closed, or the process dies."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.size = 0
        self.format = ""
        self._digest = hashlib.sha256()
        self._head = b""

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, piece: bytes) -> None:
        """What is no image is refused by its first bytes. Raises ImageFailed, BodiesTooLarge."""
        self.size += len(piece)
        self._digest.update(piece)
        if len(self._head) < _HEAD:
            self._head += piece[: _HEAD - len(self._head)]
            if len(self._head) == _HEAD:
                self.format = _format(self._head)
        try:
            self.file.write(piece)
        except OSError as error:
            raise BodiesTooLarge("there is no room on the disk for this body: try again later") from error

    def finish(self) -> None:
        """Raises InvalidBody, ImageFailed."""
        if not self.size:
            raise InvalidBody([{"pointer": "", "detail": "is empty: send the bytes of an image"}])
        self.format = self.format or _format(self._head)
        self.file.seek(0)


@asynccontextmanager
async def received(request: Request, tenant: Tenant, settings: Settings) -> AsyncIterator[Received]:
    """The file and its room on the disk last until the end of the block. Raises a Problem."""
    _check_length(request, settings.max_image_bytes)
    room: BodyRoom = request.app.state.spool_room
    body = Received()
    try:
        async with body_into(body.take, request, room, tenant, settings.max_image_bytes, settings.upload_seconds):
            body.finish()
            yield body
    finally:
        body.file.close()


def _check_length(request: Request, limit: int) -> None:
    """Refuse what says itself that it is too large, before it is read. `body_into` counts what comes."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge(f"the body has more than {limit} bytes")


def _format(head: bytes) -> str:
    """The name of the format. Decoders are imported at the first upload: an API without any starts faster."""
    from workers.images.formats import FORMATS

    found: Any = next((each for each in FORMATS if each.recognises(head)), None)
    if found is None:
        raise ImageFailed(ItemReason.UNSUPPORTED_FORMAT, "this is no image of a known format: see docs/formats.md")
    name: str = found.name
    return name
