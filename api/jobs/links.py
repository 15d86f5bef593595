"""Presigned links to the files of a job's output. Signing is arithmetic: nothing is asked of S3."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from api.jobs.views import Job, Output, OutputLink
from api.settings import Settings
from db.object_uri import split_uri
from db.output import folder_uri
from db.statements import output as sql
from db.states import OutputState

MOST_SHARDS = 99
"""With the manifest, a hundred links. The manifest names all files."""


class Signer:
    """Signs with the API's own S3 keys. Build with `of`."""

    def __init__(self, client: Any, seconds: int) -> None:
        self._client = client
        self._seconds = seconds

    @classmethod
    def of(cls, settings: Settings) -> "Signer | None":
        """None: the API has no keys."""
        if settings.s3_access_key is None or settings.s3_secret_key is None:
            return None
        import boto3  # an API that signs nothing starts without it
        from botocore.config import Config

        style: Any = {} if settings.s3_addressing_style is None else {"addressing_style": settings.s3_addressing_style}
        client = boto3.client(
            "s3",
            endpoint_url=settings.link_endpoint_url or settings.s3_endpoint_url,
            aws_access_key_id=settings.s3_access_key.get_secret_value(),
            aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
            region_name=settings.s3_region,
            config=Config(signature_version="s3v4", s3=style),
        )
        return cls(client, settings.link_seconds)

    async def with_links(self, reads: AsyncEngine, job_id: UUID, job: Job) -> Job:
        """The job, with links where its output is complete."""
        if job.output is None or job.output.state != OutputState.COMPLETE:
            return job
        async with reads.connect() as connection:
            shards = (await connection.execute(*sql.shards(job_id, most=MOST_SHARDS))).all()
        expire = datetime.now(UTC) + timedelta(seconds=self._seconds)
        links = await asyncio.to_thread(self._links, job_id, job.output, shards)
        output = job.output.model_copy(update={"links": links, "links_expire_time": expire})
        return job.model_copy(update={"output": output})

    def _links(self, job_id: UUID, output: Output, shards: Sequence[Row[Any]]) -> list[OutputLink]:
        folder = folder_uri(output.uri, job_id)
        manifest = OutputLink(format=None, number=None, url=self._sign(output.manifest or ""))
        files = [OutputLink(format=s.format, number=s.number, url=self._sign(folder + s.name)) for s in shards]
        return [manifest, *files]

    def _sign(self, uri: str) -> str:
        place = split_uri(uri)
        at = {"Bucket": place.bucket, "Key": place.key}
        url: str = self._client.generate_presigned_url("get_object", Params=at, ExpiresIn=self._seconds)
        return url
