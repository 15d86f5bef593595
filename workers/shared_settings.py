"""Settings that worker and dispatcher share: Postgres, Redis, S3."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.configuration import DatabaseUrlText
from db.logs import LogFormat


class SharedSettings(BaseSettings):
    """Every field is the variable MASKWORKS_<NAME>. Lists are comma separated."""

    model_config = SettingsConfigDict(env_prefix="MASKWORKS_", frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: DatabaseUrlText = Field(
        description="Postgres 16 or newer, as `postgresql://user:password@host:5432/maskworks` (docs/deployment.md)"
    )
    redis_url: str = Field(
        pattern="^(rediss?|unix)://",
        description="Redis that carries the messages to workers, with `maxmemory-policy noeviction`. Without it the "
        "API answers no calls for one image and limits no tenant's requests; worker and dispatcher require it",
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
    private_targets: bool = Field(
        False,
        description="Let requests that clients ask for go to private addresses and by plain http. For closed networks "
        "and tests: with it a client can reach whatever the dispatcher and the workers can",
    )
    log_format: LogFormat = Field(
        "text", description="`text`, or `json`: an object a line, with the ids of request, job and chunk"
    )
    tracing: bool = Field(
        False,
        description="Send traces to the OpenTelemetry collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names; needs the "
        "extra `tracing`",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port on which each process serves its metrics to Prometheus at `/metrics`; 0: any free one, which "
        "the log names; unset: none",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        description="Address of that port; `0.0.0.0` is every one. It asks for no key, so keep it private",
    )

    @field_validator("buckets", mode="before")
    @classmethod
    def _buckets(cls, value: object) -> object:
        return split_names(value)


def split_names(value: object) -> object:
    """Split a comma separated text into names. Anything else is returned as it is, to be validated."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
