"""S3 object → bytes → upright RGB pixels, with every limit checked before the memory is spent."""

import io
import logging
import random
import threading
from dataclasses import dataclass
from typing import Any, Final

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.settings import Settings

log = logging.getLogger(__name__)

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow opens dozens of formats; only these are meant, and only these parsers see foreign bytes."""
_ORIENTATION_TAG: Final = 0x0112
_TRIES: Final = 5
_CLIENT_CODES: Final = {
    "NoSuchKey": ItemReason.OBJECT_NOT_FOUND,
    "NoSuchBucket": ItemReason.OBJECT_NOT_FOUND,
    "404": ItemReason.OBJECT_NOT_FOUND,
    "NotFound": ItemReason.OBJECT_NOT_FOUND,
    "AccessDenied": ItemReason.ACCESS_DENIED,
    "403": ItemReason.ACCESS_DENIED,
    "InvalidAccessKeyId": ItemReason.ACCESS_DENIED,
    "SignatureDoesNotMatch": ItemReason.ACCESS_DENIED,
    "InvalidObjectState": ItemReason.ACCESS_DENIED,
    "KeyTooLongError": ItemReason.OBJECT_NOT_FOUND,
}


@dataclass(frozen=True)
class Upright:
    """`pixels`: uint8 (H, W, 3) RGB, EXIF orientation applied; `orientation`: the EXIF value found (1 where none)."""

    pixels: NDArray[np.uint8]
    orientation: int


def s3_client(settings: Settings) -> Any:
    """A thread-safe S3 client. The endpoint comes from settings only, never from a request."""
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key,
        region_name=settings.s3_region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
            max_pool_connections=settings.fetch_threads + 2,
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 1},  # the retries below see every failure and back off with jitter
        ),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """s3://bucket/key → (bucket, key). The front door has validated the form."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def check_bucket(bucket: str, allowed: tuple[str, ...]) -> None:
    if bucket not in allowed and "*" not in allowed:
        raise ItemFailed(ItemReason.BUCKET_NOT_ALLOWED, f"bucket {bucket!r} is not in MASKWORKS_BUCKETS")


def fetch(client: Any, uri: str, settings: Settings, stop: threading.Event) -> bytes:
    """The object's bytes. Retries what may pass (5xx, timeouts, resets, short reads), then STORAGE_UNAVAILABLE.

    Raises ItemFailed with OBJECT_NOT_FOUND, ACCESS_DENIED, BUCKET_NOT_ALLOWED, IMAGE_TOO_LARGE at once.
    """
    bucket, key = split_uri(uri)
    check_bucket(bucket, settings.buckets)
    last = "stopped"
    for attempt in range(_TRIES):
        if attempt and stop.wait(min(4.0, 0.2 * 2**attempt) * (0.5 + random.random() / 2)):
            break
        try:
            return _get(client, bucket, key, settings.max_image_bytes)
        except NoCredentialsError as error:
            raise ItemFailed(ItemReason.ACCESS_DENIED, f"the worker has no S3 credentials: {error}") from error
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _CLIENT_CODES:
                raise ItemFailed(_CLIENT_CODES[code], f"{uri}: {code}") from error
            last = f"{code or 'error'}: {error}"
        except (BotoCoreError, OSError, EOFError) as error:
            last = f"{type(error).__name__}: {error}"
        log.info("fetch of %s failed, try %d of %d: %s", uri, attempt + 1, _TRIES, last)
    raise ItemFailed(ItemReason.STORAGE_UNAVAILABLE, f"{uri}: {last}")


def _get(client: Any, bucket: str, key: str, max_bytes: int) -> bytes:
    response = client.get_object(Bucket=bucket, Key=key)
    with response["Body"] as body:
        size = int(response["ContentLength"])
        if size > max_bytes:
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"{size} bytes; at most {max_bytes} are fetched")
        data: bytes = body.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"more than {max_bytes} bytes")
    if len(data) < size:
        raise EOFError(f"connection closed after {len(data)} of {size} bytes")
    return data


def decode(data: bytes, max_pixels: int) -> Upright:
    """Bytes → upright RGB. Alpha is dropped and 16-bit gray is scaled by its high byte, as OpenCV's reader does.

    Raises ItemFailed with UNSUPPORTED_FORMAT, IMAGE_TOO_LARGE (before any pixel is decoded) or DECODE_FAILED.
    """
    if not data:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, "the object is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, max_pixels)
            image.load()
            orientation = _orientation(image)
            return Upright(_rgb(ImageOps.exif_transpose(image)), orientation)
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"not an image of a known format ({formats})") from error
    except Image.DecompressionBombError as error:
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, NotImplementedError) as error:
        raise ItemFailed(ItemReason.DECODE_FAILED, f"{type(error).__name__}: {error}") from error


def _check_size(image: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        detail = f"{width}×{height} is {width * height} pixels; at most {max_pixels} are decoded"
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or image.mode == "I":
        gray = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ItemFailed(
            ItemReason.UNSUPPORTED_FORMAT, "32-bit float pixels have no known range: store them as 8 or 16 bit"
        )
    return np.ascontiguousarray(image.convert("RGB"))
