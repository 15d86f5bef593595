"""The tenant that a request is made for."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.allow_list import EVERY_BUCKET, AllowList, output_list


@dataclass(frozen=True)
class Tenant:
    """The owner of API keys and jobs. A tenant sees only its own jobs. `places` is its own list of what it may use.

    `requests_per_minute` is its own limit, where it has one. `reads_jobs`: whether the request's key may read its jobs.
    """

    id: str
    places: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    reads_jobs: bool = True

    def allow_list(self, buckets: Sequence[str]) -> AllowList:
        """What it may name of the installation's `buckets`. An API without that list allows every bucket."""
        return AllowList(tuple(buckets) or EVERY_BUCKET, self.places)

    def output_list(self, buckets: Sequence[str]) -> AllowList:
        """Where its output may go."""
        return output_list(buckets, self.places)
