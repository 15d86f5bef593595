"""Write one object as its bytes come. S3 shows an object only when all of it is there."""

import base64
import hashlib
import logging
from typing import Any, Final

from workers.dispatcher.output.store import Store, StoreFailed
from workers.testing import crash_points

log = logging.getLogger(__name__)

PART_BYTES: Final = 8 * 2**20
"""S3 takes parts from 5 MiB on, and 10,000 of them."""


class Upload:
    """One object. `close` makes it visible; `abort` leaves nothing. Holds a part in memory."""

    def __init__(self, store: Store, bucket: str, key: str, media_type: str) -> None:
        self._store = store
        self._at: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._type: dict[str, Any] = {"ContentType": media_type}
        self._held = bytearray()
        self._digest = hashlib.sha256()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self.size = 0

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    async def write(self, data: bytes) -> None:
        """Raises StoreFailed."""
        self._held += data
        self._digest.update(data)
        self.size += len(data)
        while len(self._held) >= PART_BYTES:
            await self._send(PART_BYTES)

    async def close(self) -> None:
        """Raises StoreFailed."""
        if self._id is None:
            crash_points.reach("uploading")
            await self._store.call("put_object", **self._at, **self._type, **_body(bytes(self._held)))
            return
        if self._held:
            await self._send(len(self._held))
        parts = {"Parts": self._parts}
        await self._store.call("complete_multipart_upload", **self._at, UploadId=self._id, MultipartUpload=parts)

    async def abort(self) -> None:
        """Does nothing where nothing was sent. A failure is only logged: the next writer looks for leftovers."""
        if self._id is not None:
            try:
                await self._store.call("abort_multipart_upload", tries=1, **self._at, UploadId=self._id)
            except StoreFailed as failure:
                log.warning("the upload of %s was not aborted: %s", self._at["Key"], failure)

    async def _send(self, size: int) -> None:
        crash_points.reach("uploading")
        if self._id is None:
            answer = await self._store.call("create_multipart_upload", **self._at, **self._type)
            self._id = answer["UploadId"]
        data = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        number = len(self._parts) + 1
        sent = await self._store.call("upload_part", **self._at, UploadId=self._id, PartNumber=number, **_body(data))
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})


def _body(data: bytes) -> dict[str, Any]:
    """With an MD5 that the store compares. Other checksums are refused by some stores."""
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {"Body": data, "ContentMD5": base64.b64encode(md5).decode()}
