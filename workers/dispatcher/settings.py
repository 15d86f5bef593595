"""The dispatcher's settings. The entry module reads them from the environment once."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from workers.shared_settings import SharedSettings, split_names
from workers.testing.settings import CrashSettings


class Settings(SharedSettings, CrashSettings):
    """Every field is the variable MASKWORKS_<NAME>."""

    window_per_slot: float = Field(4, gt=0, description="Messages in Redis for each slot of a live worker")
    leader_seconds: float = Field(5, ge=1, description="A leader silent for longer is replaced by a standby")
    stall_seconds: float = Field(
        120, gt=0, description="A dispatcher whose loop stands still for longer ends itself, to be restarted"
    )
    tick_seconds: float = Field(0.5, gt=0, description="The dispatcher looks at least this often")
    listing_patience_seconds: float = Field(
        300, gt=0, description="A job whose prefix cannot be listed for longer fails; its `waiting_for` says so before"
    )
    max_listing_pages: int = Field(
        100_000, gt=0, description="Pages (of up to 1,000 keys) that one prefix may have; the job fails beyond it"
    )
    max_manifest_bytes: int = Field(
        4 * 1024**3, ge=1024, description="Bytes of a manifest, unpacked; the job fails beyond it"
    )
    max_manifest_items: int = Field(10_000_000, ge=1, description="Lines of a manifest; the job fails beyond it")
    max_line_bytes: int = Field(
        1024 * 1024, ge=256, description="Longest line of a manifest or of an ndjson body; a longer one is a bad line"
    )
    max_open_items: int = Field(
        20_000_000,
        ge=1,
        description="Unfinished items a tenant may have before submits are refused with 429, and listings fail with "
        "TOO_MANY_OPEN_ITEMS (a tenant's row may set its own)",
    )
    max_open_items_total: int = Field(100_000_000, ge=1, description="The same for all tenants together")
    output_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Buckets that a job's `output` may be written to, or `*`; unset: none. The API and the dispatcher "
        "both need it",
    )
    output_shard_bytes: int = Field(
        256_000_000,
        ge=1,
        le=64 * 2**30,
        description="Largest file of an output; a file with one item alone may be larger",
    )
    outputs_at_once: int = Field(4, ge=1, le=64, description="Outputs that the leader writes at a time")
    output_lease_seconds: float = Field(30, ge=1, description="A writer of an output silent for longer is replaced")
    output_patience_seconds: float = Field(
        21_600, gt=0, description="An output for which S3 has failed for longer fails; its `error` says so before"
    )
    key_pepper: SecretStr = Field(
        min_length=1,
        description="Secret mixed into stored digests of API keys and into secrets of webhooks; the same for the API, "
        "the dispatcher and `python -m db.keys`",
    )
    webhooks_at_once: int = Field(8, ge=1, le=64, description="Webhooks that the leader sends at a time")
    webhook_seconds: float = Field(15, gt=0, description="Time for a receiver of a webhook to answer")
    webhook_schedule: Annotated[tuple[float, ...], NoDecode] = Field(
        (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        description="Seconds before each further try of a webhook; after the last one it fails",
    )
    retention_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="Days after their end for which jobs are kept, with their items and results; unset: until they are "
        "deleted. Files of an `output` stay",
    )
    health_dir: Path | None = Field(None, description="Folder of the file for the liveness probe, `dispatcher-loop`")

    @field_validator("webhook_schedule", mode="before")
    @classmethod
    def _schedule(cls, value: object) -> object:
        return split_names(value)

    @field_validator("output_buckets", mode="before")
    @classmethod
    def _output_buckets(cls, value: object) -> object:
        return split_names(value)
