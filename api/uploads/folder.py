"""Where a tenant's uploads go: one folder below MASKWORKS_UPLOAD_PREFIX, and in it one for each content."""

from typing import Final

from api.refusals import InvalidParameter, UploadNotAllowed, UploadsDisabled
from api.settings import Settings
from api.tenant import Tenant
from db.object_uri import UriError, object_uri

_DIGITS: Final = 32
"""Of the SHA-256. As many as the Python client takes, which uploads by itself."""


def folder(settings: Settings, tenant: Tenant) -> str:
    """`s3://bucket/uploads/tenant/`. Raises UploadsDisabled, UploadNotAllowed."""
    if settings.upload_prefix is None:
        raise UploadsDisabled("this installation takes no uploads (MASKWORKS_UPLOAD_PREFIX sets where they go)")
    found = f"{settings.upload_prefix}{tenant.id}/"
    if why := tenant.allow_list(settings.buckets).refusal(found):
        raise UploadNotAllowed(why)
    return found


def check_name(found: str, name: str) -> None:
    """Whether an object in the folder may be called so, before its body is read. Raises InvalidParameter."""
    uri = place(found, "0" * _DIGITS, name)
    try:
        parts = object_uri(uri)
    except UriError as error:
        raise InvalidParameter("name", str(error)) from error
    if parts.version is not None:
        raise InvalidParameter("name", "must not contain ?versionId=")


def place(found: str, sha256: str, name: str) -> str:
    """The URI of an upload in the folder. Other content has another one."""
    return f"{found}{sha256[:_DIGITS]}/{name}"
