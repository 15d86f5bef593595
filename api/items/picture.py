"""The picture of an item: read the image as a worker does, check that it is the same, draw. Runs in a thread.

`api.items.renderer` imports this at the first picture. An API that draws none starts without decoders and boto3.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from api.items.origin import Origin
from api.refusals import ImageChanged, ImageNotAllowed, ImageNotFound, Problem, StorageUnavailable
from api.settings import Settings
from api.store_access import StoreAccess, store_access
from db.image_page import page_of
from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images import decode
from workers.images.drawing import draw
from workers.storage.client import s3_client
from workers.storage.reading import GivenUp, Objects

_ZLIB_LEVEL = 1
"""Higher ones take several times as long, and save a tenth."""
_JPEG_QUALITY = 85
_REFUSED: dict[ItemReason, type[Problem]] = {
    ItemReason.OBJECT_NOT_FOUND: ImageNotFound,
    ItemReason.ACCESS_DENIED: ImageNotAllowed,
    ItemReason.BUCKET_NOT_ALLOWED: ImageNotAllowed,
    ItemReason.HOST_NOT_ALLOWED: ImageNotAllowed,
    ItemReason.STORAGE_UNAVAILABLE: StorageUnavailable,
    ItemReason.TIMEOUT: StorageUnavailable,
}
"""Any other reason has to do with its content, which a worker could read."""


@dataclass(frozen=True)
class _Reading(StoreAccess):
    """The API's settings as `workers.storage` wants them to read with."""

    buckets: tuple[str, ...]
    https_images: tuple[str, ...]
    private_targets: bool
    max_image_bytes: int
    fetch_seconds: float
    chunk_seconds: float
    throttle_seconds: float


def open_store(settings: Settings) -> Objects:
    """The images that the API may read."""
    reading = _Reading(
        **vars(store_access(settings)),
        buckets=settings.buckets,
        https_images=settings.https_images,
        private_targets=settings.private_targets,
        max_image_bytes=settings.max_image_bytes,
        fetch_seconds=settings.overlay_seconds,
        chunk_seconds=settings.overlay_seconds,
        throttle_seconds=settings.overlay_seconds,
    )
    return Objects(s3_client(reading, settings.overlay_threads), reading)


def png(store: Objects, origin: Origin) -> bytes:
    """The overlay in full size. Raises a Problem."""
    pixels = _drawn(store, origin)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG", compress_level=_ZLIB_LEVEL)
    return out.getvalue()


def jpeg(store: Objects, origin: Origin, side: int) -> bytes:
    """The overlay, its longer side at most `side` pixels. Raises a Problem."""
    picture = Image.fromarray(_drawn(store, origin))
    picture.thumbnail((side, side), reducing_gap=3.0)
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def _drawn(store: Objects, origin: Origin) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    try:
        pixels = _pixels(store, origin)
    except ItemFailed as error:
        raise _REFUSED.get(error.reason, ImageChanged)(error.detail) from error
    except GivenUp as error:
        raise StorageUnavailable("the store asks for fewer requests: try again later") from error
    draw(pixels, origin.masks)
    return pixels


def _pixels(store: Objects, origin: Origin) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The upright image. Bytes that no worker has decoded are refused before a decoder sees them."""
    reading = store.open(origin.image)
    data = reading.read()
    if data is None or not origin.is_from(reading.tag):
        raise ImageChanged("the image was written again after it was segmented: segment it again")
    height, width = origin.size
    pixels = decode(data, height * width, origin.depth, page_of(origin.image), origin.bands).pixels
    if pixels.shape[:2] != (height, width):
        raise ImageChanged(f"the image is {pixels.shape[1]}×{pixels.shape[0]}, and it was {width}×{height}")
    return np.require(pixels, requirements=["W"])
