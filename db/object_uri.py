"""`s3://bucket/key` and `s3://bucket/key?versionId=ID`, read in one place, so that every process means the same object.

A `?` belongs to the key, except in `?versionId=`, and so does a `#`, except in `#page=3` at the end of an image's URI.
Keys that contain `?versionId=` or end in `#page=3` themselves cannot be named, and a listing passes them over.
"""

import re
from dataclasses import dataclass
from typing import Final

from db.globs import CONTROL_CHARACTERS
from db.image_page import page_of, without_page

VERSION_MARK: Final = "?versionId="
_MAX_KEY_BYTES: Final = 1024
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# What AWS, MinIO, Ceph, Google and Backblaze give out. No `&` or `%`: other parameters and escapes are refused.
_VERSION: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,1024}", re.ASCII)


class UriError(ValueError):
    """What a URI must be, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class ObjectUri:
    """An object of S3. Without a version it is the newest one."""

    bucket: str
    key: str
    version: str | None = None


def split_uri(uri: str) -> ObjectUri:
    """The parts of a URI that was checked before. The page is no part of the object."""
    bucket, _, rest = without_page(uri).removeprefix("s3://").partition("/")
    key, mark, version = rest.partition(VERSION_MARK)
    return ObjectUri(bucket, key, version if mark else None)


def image_uri(uri: str) -> ObjectUri:
    """The object of an image, whose URI may end in a page. Raises UriError."""
    return object_uri(without_page(uri))


def object_uri(uri: str) -> ObjectUri:
    """One object. Raises UriError."""
    if page_of(uri) is not None:
        raise UriError("must not end in #page=, which is for images")
    parts = _checked(uri)
    if not parts.key or parts.key.endswith("/"):
        raise UriError("must name an object, as s3://bucket/key, and not a folder")
    if parts.version is not None and not _VERSION.fullmatch(parts.version):
        raise UriError(
            "must end with its version after ?versionId=: 1 to 1024 of A-Z, a-z, 0-9 and . _ ~ + / = -, "
            "and no other parameter"
        )
    return parts


def prefix_uri(uri: str) -> ObjectUri:
    """A prefix, which may be empty. Raises UriError."""
    parts = _checked(uri)
    if page_of(uri) is not None:
        raise UriError("must be a prefix without #page=, which is for images")
    if parts.version is not None:
        raise UriError("must be a prefix without ?versionId=, which names one object")
    return parts


def _checked(uri: str) -> ObjectUri:
    """Keys that two S3 clients could read as different objects are refused."""
    if CONTROL_CHARACTERS.search(uri):
        raise UriError("must not contain control characters")
    if not uri.startswith("s3://"):
        raise UriError("must begin with s3://, as s3://bucket/key")
    parts = split_uri(uri)
    if not _BUCKET.fullmatch(parts.bucket) or ".." in parts.bucket:
        raise UriError(
            "must name a bucket after s3://, as in s3://bucket/key: 3 to 63 of a-z, 0-9, '.' and '-', "
            "a letter or digit at both ends, no two dots in a row"
        )
    if not uri.startswith("/", len("s3://") + len(parts.bucket)):
        raise UriError("must have a slash after the bucket, as in s3://bucket/key")
    segments = parts.key.split("/")
    if ".." in segments or "." in segments or "" in segments[:-1]:
        raise UriError("must have a key without empty, . or .. segments")
    if len(parts.key.encode()) > _MAX_KEY_BYTES:
        raise UriError("must have a key of at most 1024 bytes")
    return parts
