"""What a worker or the dispatcher may be told, from the environment; frozen, read once in the entry module."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.configuration import DatabaseUrlText
from model.sizes import SIZES

Names = TypeVar("Names", tuple[str, ...], dict[str, str])


class Settings(BaseSettings):
    """Every field is the variable MASKWORKS_<NAME>; lists are comma separated."""

    model_config = SettingsConfigDict(env_prefix="MASKWORKS_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: DatabaseUrlText = Field(
        description="Postgres 16 or newer, as `postgresql://user:password@host:5432/maskworks` (docs/deployment.md)"
    )
    redis_url: str = Field(
        pattern="^(rediss?|unix)://",
        description="Redis that carries the messages to workers, with `maxmemory-policy noeviction`",
    )

    s3_endpoint_url: str | None = Field(
        None,
        pattern="^https?://",
        description="S3 endpoint; unset: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the AWS profile, else AWS itself",
    )
    s3_access_key: str | None = Field(None, description="S3 access key; unset: the ambient credentials (role, profile)")
    s3_secret_key: str | None = Field(None, description="S3 secret key")
    s3_region: str | None = Field(
        None,
        validation_alias=AliasChoices("MASKWORKS_S3_REGION", "AWS_REGION"),
        description="S3 region; unset: AWS_REGION, AWS_DEFAULT_REGION, the AWS profile, else us-east-1",
    )
    s3_addressing_style: Literal["auto", "path", "virtual"] | None = Field(
        None,
        description="Where the bucket's name goes: `path`, `virtual` (into the host name), or `auto`; "
        "unset: the AWS profile, else `auto`, which is `path` with an endpoint of your own",
    )
    s3_requester_pays: bool = Field(
        False, description="Accept the charges of requester-pays buckets, for listing and for reading"
    )
    s3_unsigned: bool = Field(False, description="Send no credentials: public buckets only")
    buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Buckets that jobs may read, or `*`. The API refuses others at submit, where it has the list; a "
        "worker fails items of others with BUCKET_NOT_ALLOWED",
    )
    max_image_bytes: int = Field(64 * 2**20, gt=0, description="An object larger than this is not fetched")
    max_image_pixels: int = Field(100_000_000, gt=0, description="An image of more pixels is not decoded")

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("sam_tiny",), min_length=1, description="Models a worker loads and takes work for"
    )
    checkpoints: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="Where weights are, as name=path,…, or name=path#sha256 to have a file checked; "
        "unset: the cache, then the bundled file of that name",
    )
    cache: Path = Field(Path("~/.cache/maskworks").expanduser(), description="Folder of fetched checkpoints")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:N, or auto: CUDA where there is one"
    )
    precision: Literal["exact", "fast"] | None = Field(
        None, description="Precision of jobs that name none; unset: fast on CUDA, exact on a CPU"
    )
    bfloat16: bool | None = Field(
        None, description="Whether `fast` computes in bfloat16; unset: where the device multiplies it natively"
    )
    threads: int | None = Field(None, gt=0, description="Torch's threads in a worker; unset: one a core")
    slots: int = Field(
        2, gt=0, description="Chunks a worker has at a time: the second fills the GPU over the first's tail"
    )

    lease_seconds: float = Field(30, ge=1, description="A worker silent for longer loses its chunks")
    chunk_seconds: float = Field(30, gt=0, description="After this long a worker gives the rest of a chunk back")
    batch_seconds: float = Field(
        300, gt=0, description="A GPU batch that takes longer is a hang: the worker ends itself"
    )
    fetch_threads: int = Field(8, gt=0, description="Objects fetched at a time, not counting slow ones")
    fetch_seconds: float = Field(
        60,
        gt=0,
        description="An object not read within this long fails with TIMEOUT; waiting for a bucket that throttles does "
        "not count",
    )
    throttle_seconds: float = Field(
        600,
        gt=0,
        description="A bucket that has answered nothing but 'slow down' for this long fails the items that ask for it "
        "with STORAGE_UNAVAILABLE",
    )
    decode_threads: int = Field(2, gt=0, description="Images decoded at a time")
    health_dir: Path | None = Field(
        None,
        description="Folder of files for probes: a worker's `loaded` and `gpu-loop`, a dispatcher's `dispatcher-loop`",
    )
    max_rss_bytes: int | None = Field(None, gt=0, description="A worker above this leaves cleanly, to be restarted")
    null_delay: float = Field(0, ge=0, description="Seconds an image for the model `null` (protocol tests only)")
    null_poison: Path | None = Field(
        None, description="Folder for what the model `null` was made to do by poisoned images (protocol tests only)"
    )
    crash_at: str | None = Field(
        None,
        description="Point at which the process kills itself, name[:n], or raises for one job, name:job (tests only)",
    )

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

    @field_validator("buckets", "models", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
        if wrong := next((name for name, _, path in pairs if not path), None):
            raise ValueError(f"{wrong!r} has no path: write name=path,name=path")
        return {name: path for name, _, path in pairs}

    @field_validator("models", "checkpoints")
    @classmethod
    def _known(cls, value: Names) -> Names:
        if unknown := next((name for name in value if name not in (*SIZES, "null")), None):
            raise ValueError(f"no model is called {unknown!r}; there are {', '.join(SIZES)}")
        return value
