"""Settings that only tests use. They are not in the users' table."""

from pathlib import Path

from pydantic import BaseModel, Field


class CrashSettings(BaseModel):
    """Settings of worker and dispatcher."""

    crash_at: str | None = Field(
        None,
        description="Point at which the process kills itself, name[:n], or raises for one job, name:job (tests only)",
    )


class NullSettings(BaseModel):
    """Settings of the model `null`."""

    null_delay: float = Field(0, ge=0, description="Seconds an image for the model `null` (protocol tests only)")
    null_poison: Path | None = Field(
        None, description="Folder for what the model `null` was made to do by poisoned images (protocol tests only)"
    )
    null_regions: bool = Field(
        False, description="Whether the null model segments what an image shows (tests of tiles only)"
    )
