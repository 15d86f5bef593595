"""Which URIs in S3 a tenant may name: as images, prefixes, manifests and outputs.

The installation allows buckets (MASKWORKS_BUCKETS). A tenant's own list narrows that to places such as
`s3://bucket/photos/`. The API asks at submit. The dispatcher and the workers ask again before they list, read or write.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

EVERY_BUCKET: Final = ("*",)
_PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(?:[^/\x00-\x1f\x7f]+/)*")


class BadPlace(ValueError):
    """The text cannot be an entry of a tenant's list."""


@dataclass(frozen=True)
class AllowList:
    """`buckets` are names or `*`. `places` is the tenant's list; None allows whatever the installation allows."""

    buckets: Sequence[str] = EVERY_BUCKET
    places: Sequence[str] | None = None
    setting: str = "MASKWORKS_BUCKETS"
    """The setting that `buckets` come from, for the refusal."""

    def allows(self, uri: str) -> bool:
        return self.refusal(uri) is None

    def refusal(self, uri: str) -> str | None:
        """Why the tenant may not use `s3://bucket/key`, or None where it may.

        For a prefix or an output every key below it must be allowed, so `s3://bucket/pho` is not in `s3://bucket/photos/`.
        Nothing is said about URIs of other schemes, which lie in no bucket.
        """
        if not uri.startswith("s3://"):
            return None
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if "*" not in self.buckets and bucket not in self.buckets:
            return f"the bucket {bucket!r} is not allowed here. {self.setting} sets the allowed ones"
        if self.places is None:
            return None
        if not uri.startswith(tuple(self.places)) or not {".", ".."}.isdisjoint(key.split("/")):
            return f"the tenant may not use {uri!r}. `python -m db.tenants` shows and sets what it may use"
        return None


def output_list(buckets: Sequence[str], places: Sequence[str] | None) -> AllowList:
    """Where output may go. An installation without such `buckets` takes none."""
    return AllowList(tuple(buckets), places, "MASKWORKS_OUTPUT_BUCKETS")


def read_place(text: str) -> str:
    """An entry as it is stored: `s3://bucket` and `s3://bucket/photos` get a slash at the end. Raises BadPlace."""
    place = text if text.endswith("/") else text + "/"
    if not _PLACE.fullmatch(place) or not {".", "..", ""}.isdisjoint(place.split("/")[3:-1]):
        raise BadPlace(f"{text!r} is no place in S3: write s3://bucket/ or s3://bucket/prefix/")
    return place
