"""Ask for the output of a job that has ended, and hold what is in the bucket against its results."""

import json
from collections.abc import Sequence
from uuid import UUID

from db.ids import show_job_id
from db.statements.output import insert_output
from tests.conftest import Bucket
from tests.faults.cluster import Cluster, until
from tests.workers.dispatcher.output.written import read_output

_PREFIX = "out/"


def ask_for(cluster: Cluster, job: UUID, formats: Sequence[str] = ("jsonl",), prefix: str = _PREFIX) -> None:
    with cluster.engine.begin() as connection:
        connection.execute(*insert_output(job, f"s3://{cluster.stack.bucket}/{prefix}", formats))


def state(cluster: Cluster, job: UUID) -> str:
    return str(cluster.ask("SELECT state::text FROM outputs WHERE job_id = :job", job=job))


def n_shards(cluster: Cluster, job: UUID) -> int:
    return int(cluster.ask("SELECT count(*) FROM output_shards WHERE job_id = :job", job=job))


def manifest(cluster: Cluster, job: UUID) -> bytes:
    key = f"{_PREFIX}{show_job_id(job)}/manifest.json"
    content: bytes = cluster.s3.get_object(Bucket=cluster.stack.bucket, Key=key)["Body"].read()
    return content


def check(cluster: Cluster, job: UUID, n: int, seconds: float = 60) -> None:
    """Once it is complete, the bucket holds the manifest's files and no other, and each item once in each format."""
    until(f"the output of {job}", seconds, lambda: state(cluster, job) == "complete")
    found = read_output(Bucket(cluster.stack.bucket, cluster.s3), job, _PREFIX)
    indexes = []
    for file in found.files["jsonl"]:
        *items, _ = [json.loads(line) for line in file.splitlines()]
        indexes += [item["index"] for item in items]
    assert indexes == list(range(n))
    for of_format in (found.files.get("coco", ()),):
        images = [image["id"] for file in of_format for image in json.loads(file)["images"]]
        assert not of_format or images == list(range(n))
