"""The S3 client, the buckets that jobs may read, and the download of checkpoints."""

from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from db.allow_list import AllowList
from db.object_uri import split_uri
from db.states import ItemReason
from workers.failures import ItemFailed
from workers.storage.settings import S3Access

_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 30
"""A server that sends nothing for this long is given up. FETCH_SECONDS limits one that sends slowly."""
_WHOLE = TransferConfig(multipart_threshold=2**62)
"""Download in one request. Some servers send the checksum of the whole object with each part of it."""


def s3_client(settings: S3Access, connections: int = 10) -> Any:
    """A thread-safe client for listing, reading and downloading. It keeps `connections` of them open.

    Only settings that are set are passed on. For the rest boto3 follows its usual chain: AWS_* variables, the profile,
    the role. This covers endpoints, proxies, certificates, FIPS, dualstack and the partitions of AWS.
    """
    session = boto3.Session(
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key,
        region_name=settings.s3_region,
    )
    client = session.client("s3", endpoint_url=settings.s3_endpoint_url, config=_config(settings, connections))
    client.meta.events.register_last("before-parameter-build", _no_checksum_of_a_part)
    if settings.s3_requester_pays:
        for operation in ("GetObject", "HeadObject", "ListObjectsV2"):
            client.meta.events.register(f"before-parameter-build.s3.{operation}", _requester_pays)
    return client


def _config(settings: S3Access, connections: int) -> Config:
    chosen: dict[str, Any] = {}
    if settings.s3_addressing_style is not None:
        chosen["s3"] = {"addressing_style": settings.s3_addressing_style}
    if settings.s3_unsigned:
        chosen["signature_version"] = UNSIGNED
    return Config(
        max_pool_connections=connections,
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_SILENCE_SECONDS,
        # The checksums that boto3 would add to a write are refused by some stores.
        request_checksum_calculation="when_required",
        # `Reading` does the retries: it can be interrupted, and it treats throttling apart from failure.
        retries={"total_max_attempts": 1},
        **chosen,
    )


def _no_checksum_of_a_part(params: dict[str, Any], **_: object) -> None:
    """Some servers send the checksum of the whole object with a range, and boto3 would compare it with the range."""
    if "Range" in params:
        params.pop("ChecksumMode", None)


def _requester_pays(params: dict[str, Any], **_: object) -> None:
    params["RequestPayer"] = "requester"


def check_allowed(uri: str, allow_list: AllowList) -> None:
    """Raises ItemFailed."""
    if why := allow_list.refusal(uri):
        raise ItemFailed(ItemReason.BUCKET_NOT_ALLOWED, why)


def download(client: Any, uri: str, path: Path) -> None:
    """Download a checkpoint that the settings name. Raises OSError with the reason."""
    parts = split_uri(uri)
    version = {} if parts.version is None else {"ExtraArgs": {"VersionId": parts.version}}
    try:
        client.download_file(parts.bucket, parts.key, str(path), Config=_WHOLE, **version)
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"{uri}: {error}") from error
