"""Settings of the API, from the environment: frozen, read once by the entry points."""

from typing import Annotated, Literal

from pydantic import AliasChoices, DirectoryPath, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.allow_list import read_place
from db.configuration import DatabaseUrlSecret
from db.limits import MAX_REQUESTS_PER_MINUTE
from db.logs import LogFormat


class Settings(BaseSettings):
    """Settings of the API process; each is the environment's MASKWORKS_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="MASKWORKS_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: DatabaseUrlSecret = Field(
        description="Postgres 16 or newer, as `postgresql://user:password@host:5432/maskworks` (docs/deployment.md)"
    )
    api_role: str | None = Field(
        default=None,
        min_length=1,
        description="Role that the API takes in each transaction, which sees the rows of one tenant only "
        "(docs/deployment.md). `python -m db.migrate` needs it too; unset: the API sees every row",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis that carries the messages to workers, with `maxmemory-policy noeviction`. Without it the "
        "API answers no calls for one image and limits no tenant's requests; worker and dispatcher require it",
    )
    key_pepper: SecretStr = Field(
        min_length=1,
        description="Secret mixed into stored digests of API keys and into secrets of webhooks; the same for the API, "
        "the dispatcher and `python -m db.keys`",
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("sam_tiny",),
        min_length=1,
        description="Models that jobs may name, comma separated; the first is the default of a job that names none",
    )
    decoders: DirectoryPath | None = Field(
        default=None,
        description="Folder of mask decoders that browsers may run, as `python -m model.export` writes them; read at "
        "the start. The decoder of sam_tiny comes with the package",
    )
    buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Buckets that jobs may read, or `*`. The API refuses others at submit, where it has the list; a "
        "worker fails items of others with BUCKET_NOT_ALLOWED",
    )
    output_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Buckets that a job's `output` may be written to, or `*`; unset: none. The API and the dispatcher "
        "both need it",
    )
    upload_prefix: str | None = Field(
        default=None,
        description="Where `PUT /v1/uploads/{name}` stores images, as `s3://bucket/uploads/`, in a folder for each "
        "tenant; unset: there are no uploads. The bucket must be one that jobs may read, and the API needs the right "
        "to write there",
    )
    s3_endpoint_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="S3 endpoint; unset: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the AWS profile, else AWS itself",
    )
    s3_access_key: SecretStr | None = Field(
        default=None,
        description="S3 access key; unset: the ambient credentials (role, profile). The API signs links with it, "
        "and gives none without; worker and API read images with it",
    )
    s3_secret_key: SecretStr | None = Field(default=None, description="S3 secret key")
    s3_region: str | None = Field(
        default=None,
        validation_alias=AliasChoices("MASKWORKS_S3_REGION", "AWS_REGION"),
        description="S3 region; unset: AWS_REGION, AWS_DEFAULT_REGION, the AWS profile, else us-east-1",
    )
    s3_addressing_style: Literal["auto", "path", "virtual"] | None = Field(
        default=None,
        description="Where the bucket's name goes: `path`, `virtual` (into the host name), or `auto`; "
        "unset: the AWS profile, else `auto`, which is `path` with an endpoint of your own",
    )
    s3_requester_pays: bool = Field(
        default=False, description="Accept the charges of requester-pays buckets, for listing and for reading"
    )
    s3_unsigned: bool = Field(default=False, description="Send no credentials: public buckets only")
    link_endpoint_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="S3 endpoint as clients reach it, for presigned links; unset: MASKWORKS_S3_ENDPOINT_URL",
    )
    link_seconds: int = Field(default=3600, ge=1, le=604_800, description="How long a presigned link is valid")
    private_targets: bool = Field(
        default=False,
        description="Let requests that clients ask for go to private addresses and by plain http. For closed networks "
        "and tests: with it a client can reach whatever the dispatcher and the workers can",
    )
    https_images: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts from which jobs may read `https://` images: `images.example.com`, `*.example.com`, or `*` "
        "for every public host. Another port than 443 is named with its host. Unset: none. The API refuses others at "
        "submit; a worker fails items of others with HOST_NOT_ALLOWED",
    )
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024, description="Largest request body accepted")
    max_body_bytes_total: int = Field(
        default=128 * 1024 * 1024,
        ge=1024,
        description="Bytes of all request bodies in memory at a time, of one tenant half of it; beyond, submits are "
        "refused with 503",
    )
    body_seconds: float = Field(default=60, gt=0, description="Time for a whole request body, else 408")
    head_seconds: float = Field(default=10, gt=0, description="Time for a request's line and headers, else 408")
    keep_alive_seconds: int = Field(
        default=75, ge=1, description="Idle time after which a connection is closed; more than an ingress waits"
    )
    max_connections: int = Field(default=4096, ge=1, description="Open connections per process; more get 503")
    max_items_inline: int = Field(default=100_000, ge=1, description="Most items one job may carry in its body")
    max_items_streamed: int = Field(
        default=5_000_000, ge=1, description="Most items of one job in an ndjson body, one a line"
    )
    max_stream_bytes: int = Field(default=1024**3, ge=1024, description="Largest ndjson body, as sent and unpacked")
    max_spool_bytes: int = Field(
        default=8 * 1024**3,
        ge=2048,
        description="Bytes on disk (in TMPDIR) for the ndjson bodies of all requests in progress, twice their size; of "
        "one tenant half of it; beyond, submits are refused with 503",
    )
    stream_seconds: float = Field(default=600, gt=0, description="Time for a whole ndjson body, else 408")
    max_line_bytes: int = Field(
        default=1024 * 1024,
        ge=256,
        description="Longest line of a manifest or of an ndjson body; a longer one is a bad line",
    )
    max_open_items: int = Field(
        default=20_000_000,
        ge=1,
        description="Unfinished items a tenant may have before submits are refused with 429, and listings fail with "
        "TOO_MANY_OPEN_ITEMS (a tenant's row may set its own)",
    )
    max_open_items_total: int = Field(
        default=100_000_000,
        ge=1,
        description="The same for all tenants together",
    )
    max_annotations: int = Field(
        default=10_000_000,
        ge=1,
        description="Annotations a tenant may have; a call that would store more is refused with 409",
    )
    pool_size: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Postgres connections for requests, per process; at most half of them serve downloads",
    )
    exports_per_tenant: int = Field(
        default=16,
        ge=1,
        description="Downloads of results that a tenant may have under way at a time, per process; more get 429",
    )
    export_stall_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A download whose client takes nothing for so many seconds is cut off",
    )
    max_image_bytes: int = Field(
        default=64 * 2**20, gt=0, description="An object larger than this is not fetched, nor taken as an upload"
    )
    max_overlay_pixels: int = Field(
        default=16_777_216, gt=0, description="Overlays and previews are drawn of images of so many pixels at most"
    )
    overlay_threads: int = Field(
        default=2, gt=0, le=64, description="Overlays and previews drawn at a time, per process"
    )
    overlay_seconds: float = Field(
        default=20, gt=0, description="Time to read an image and draw its overlay or preview, else 503"
    )
    overlays_per_tenant: int = Field(
        default=4,
        ge=1,
        description="Overlays that a tenant may have under way at a time, per process; more get 429",
    )
    previews_per_tenant: int = Field(
        default=16,
        ge=1,
        description="Previews that a tenant may have under way at a time, per process; more get 429",
    )
    preview_cache_bytes: int = Field(
        default=64 * 1024**2, ge=0, description="Memory for previews that were drawn, per process; 0: none are kept"
    )
    events_per_tenant: int = Field(
        default=500,
        ge=1,
        description="Event streams that a tenant may have open at a time, per process; more get 429",
    )
    requests_per_minute: int = Field(
        default=6000,
        ge=1,
        le=MAX_REQUESTS_PER_MINUTE,
        description="Requests a minute that a tenant may make of all processes together; more get 429 (a tenant's row "
        "may set its own)",
    )
    max_upload_bytes: int = Field(
        default=16 * 1024**2, ge=1024, description="Largest body of a call for one image, with the uploaded image"
    )
    max_calls_bytes: int = Field(
        default=256 * 1024**2,
        ge=8 * 1024**2,
        description="Bytes in Redis for all calls for one image in progress: each takes its body and 4 MiB for the "
        "answer; beyond, calls are refused with 503",
    )
    calls_per_tenant: int = Field(
        default=8,
        ge=1,
        description="Calls for one image that a tenant may have under way at a time, per process; more get 429",
    )
    call_seconds: float = Field(default=30, ge=1, le=300, description="Time to answer a call for one image, else 504")
    uploads_per_tenant: int = Field(
        default=4,
        ge=1,
        description="Uploads that a tenant may have under way at a time, per process; more get 429",
    )
    upload_seconds: float = Field(default=300, gt=0, description="Time for the whole body of an upload, else 408")
    wrong_keys_per_minute: int = Field(
        default=60,
        ge=1,
        description="Wrong API keys a minute from one address, per process, before keys that have not worked yet get "
        "429; behind a proxy set uvicorn's FORWARDED_ALLOW_IPS too, or all clients count as one",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port on which each process serves its metrics to Prometheus at `/metrics`; 0: any free one, which "
        "the log names; unset: none",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of that port; `0.0.0.0` is every one. It asks for no key, so keep it private",
    )
    log_format: LogFormat = Field(
        default="text", description="`text`, or `json`: an object a line, with the ids of request, job and chunk"
    )
    tracing: bool = Field(
        default=False,
        description="Send traces to the OpenTelemetry collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names; needs the "
        "extra `tracing`",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="Least severity that the API logs"
    )

    @field_validator("redis_url")
    @classmethod
    def _scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("upload_prefix")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        return None if value is None else read_place(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("models", "buckets", "output_buckets", "https_images", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @model_validator(mode="after")
    def _one_body_fits(self) -> "Settings":
        if self.max_body_bytes > self.max_body_bytes_total:
            raise ValueError("MASKWORKS_MAX_BODY_BYTES must not be more than MASKWORKS_MAX_BODY_BYTES_TOTAL")
        if 2 * self.max_stream_bytes > self.max_spool_bytes:
            raise ValueError("MASKWORKS_MAX_SPOOL_BYTES must be at least twice MASKWORKS_MAX_STREAM_BYTES")
        return self

    @model_validator(mode="after")
    def _jobs_may_read_uploads(self) -> "Settings":
        bucket = (self.upload_prefix or "").removeprefix("s3://").partition("/")[0]
        if bucket and self.buckets and not {bucket, "*"} & set(self.buckets):
            raise ValueError("the bucket of MASKWORKS_UPLOAD_PREFIX must be one of MASKWORKS_BUCKETS")
        return self

    @property
    def default_model(self) -> str:
        return self.models[0]
