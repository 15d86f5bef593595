"""The dispatcher's settings. The entry module reads them from the environment once."""

from pathlib import Path

from pydantic import Field

from workers.shared_settings import SharedSettings
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
    max_open_items: int = Field(
        20_000_000,
        ge=1,
        description="Unfinished items a tenant may have before submits are refused with 429, and listings fail with "
        "TOO_MANY_OPEN_ITEMS (a tenant's row may set its own)",
    )
    max_open_items_total: int = Field(100_000_000, ge=1, description="The same for all tenants together")
    health_dir: Path | None = Field(None, description="Folder of the file for the liveness probe, `dispatcher-loop`")
