"""The API's settings of S3 as `workers.storage` wants them: plain texts in place of secrets."""

from dataclasses import dataclass
from typing import Literal

from api.settings import Settings


@dataclass(frozen=True)
class StoreAccess:
    """How the API reaches S3."""

    s3_access_key: str | None
    s3_secret_key: str | None
    s3_endpoint_url: str | None
    s3_region: str | None
    s3_addressing_style: Literal["auto", "path", "virtual"] | None
    s3_requester_pays: bool
    s3_unsigned: bool


def store_access(settings: Settings) -> StoreAccess:
    key, secret = settings.s3_access_key, settings.s3_secret_key
    return StoreAccess(
        s3_access_key=None if key is None else key.get_secret_value(),
        s3_secret_key=None if secret is None else secret.get_secret_value(),
        s3_endpoint_url=settings.s3_endpoint_url,
        s3_region=settings.s3_region,
        s3_addressing_style=settings.s3_addressing_style,
        s3_requester_pays=settings.s3_requester_pays,
        s3_unsigned=settings.s3_unsigned,
    )
