"""Objects of S3: a client, the allow-list, and bytes with a cap, retried where trying again may help."""

import logging
import random
import threading
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.settings import Settings

log = logging.getLogger(__name__)

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
            retries={"total_max_attempts": 1},  # the retries below see every failure and back off with jitter
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
        except (BotoCoreError, HTTPError, OSError, EOFError) as error:
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


def download(client: Any, uri: str, path: Path) -> None:
    """A checkpoint that the settings name, whatever its size. Raises OSError with the reason."""
    bucket, key = split_uri(uri)
    try:
        client.download_file(bucket, key, str(path))
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"{uri}: {error}") from error
