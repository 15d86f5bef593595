"""What is in the bucket once a job with an output has ended."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pycocotools.coco import COCO
from sqlalchemy import Engine, delete

from db.ids import show_job_id
from db.statements import output as sql
from db.statements.tenants import change_tenant
from db.states import JobState, OutputState
from db.tables import jobs
from tests.conftest import Bucket
from tests.workers.dispatcher.output.written import (
    ended_job,
    keys,
    new_tenant,
    output_row,
    read_output,
    wait_output,
)

Lead = Callable[..., None]


def lines(files: list[bytes]) -> list[dict[str, Any]]:
    """Items of JSON lines files. The last line of each describes the job."""
    found: list[dict[str, Any]] = []
    for file in files:
        *mine, last = [json.loads(line) for line in file.splitlines()]
        assert set(last) == {"job"}
        found += mine
    return found


def writing(lead: Lead, bucket: Bucket, **changes: object) -> str:
    """A leader that may write to the bucket. Returns the URI of an output."""
    lead(**{"output_buckets": (bucket.name,), **changes})
    return f"s3://{bucket.name}/out/"


def test_every_format_is_written_and_named(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", ("coco", "jsonl", "coco_results", "sa1b"), failed=2)
    writing(lead, bucket)
    wait_output(engine, job)
    found = read_output(bucket, job)
    assert [shard["format"] for shard in found.manifest["shards"]] == ["coco", "jsonl", "coco_results", "sa1b"]
    assert found.manifest["job"]["state"] == "succeeded"
    items = lines(found.files["jsonl"])
    assert [item["index"] for item in items] == list(range(20))
    assert [item["state"] for item in items] == ["failed"] * 2 + ["succeeded"] * 18
    assert len(json.loads(found.files["coco_results"][0])) == 18 * 3


def test_files_are_cut_at_items_below_the_limit(engine: Engine, bucket: Bucket, lead: Lead, tmp_path: Any) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", ("coco", "jsonl"), n=200, n_masks=5)
    writing(lead, bucket, output_shard_bytes=30_000)
    wait_output(engine, job)
    found = read_output(bucket, job)
    images, annotations = [], 0
    for i, file in enumerate(found.files["coco"]):
        path = tmp_path / f"{i}.json"
        path.write_bytes(file)
        dataset = COCO(str(path))
        images += dataset.getImgIds()
        annotations += len(dataset.getAnnIds())
        assert {a["image_id"] for a in dataset.dataset["annotations"]} == set(dataset.getImgIds())
        assert dataset.annToMask(dataset.loadAnns([1])[0]).sum() == 35
    assert images == list(range(200)) and annotations == 1000
    assert [item["index"] for item in lines(found.files["jsonl"])] == list(range(200))
    sizes = [shard["bytes"] for shard in found.manifest["shards"]]
    assert max(sizes) <= 30_000 and len(sizes) > 10
    assert sorted(sizes)[len(sizes) // 2] > 15_000  # most are nearly full


def test_an_item_larger_than_the_limit_has_a_file_of_its_own(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", n=3, n_masks=20)
    writing(lead, bucket, output_shard_bytes=1000)
    wait_output(engine, job)
    assert [len(lines([file])) for file in read_output(bucket, job).files["jsonl"]] == [1, 1, 1]


def test_large_files_are_uploaded_in_parts(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", n=20, n_masks=2500)
    writing(lead, bucket)
    wait_output(engine, job)
    (file,) = read_output(bucket, job).files["jsonl"]
    assert len(file) >= 9 * 2**20
    assert sum(len(item["masks"]) for item in lines([file])) == 50_000


@pytest.mark.parametrize(
    ("state", "n", "written"),
    [(JobState.CANCELLED, 10, 4), (JobState.EXPIRED, 10, 0), (JobState.FAILED, 10, 3), (JobState.FAILED, 0, 0)],
)
def test_what_there_is_is_written_in_every_final_state(
    engine: Engine, bucket: Bucket, lead: Lead, state: JobState, n: int, written: int
) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", ("coco", "jsonl"), n=n, written=written, state=state)
    writing(lead, bucket)
    wait_output(engine, job)
    found = read_output(bucket, job)
    assert found.manifest["job"]["state"] == state
    assert found.manifest["job"]["counts"]["total"] == n
    items = lines(found.files["jsonl"])
    rest = "expired" if state == JobState.EXPIRED else "cancelled"
    assert [item["state"] for item in items] == ["succeeded"] * written + [rest] * (n - written)
    (coco,) = (json.loads(file) for file in found.files["coco"])
    assert (len(coco["images"]), coco["info"]["job_state"]) == (written, state)


def test_a_bucket_that_is_not_allowed_fails_the_output_alone(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, "s3://elsewhere/out/")
    writing(lead, bucket)
    row = wait_output(engine, job, OutputState.FAILED)
    assert row.error_reason == "BUCKET_NOT_ALLOWED" and "MASKWORKS_OUTPUT_BUCKETS" in row.error_detail


def test_a_place_taken_from_the_tenants_list_is_not_written(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    taken, kept = new_tenant(engine, "taken"), new_tenant(engine, "kept")
    with engine.begin() as connection:
        connection.execute(*change_tenant(taken, {"places": [f"s3://{bucket.name}/photos/"]}))
        connection.execute(*change_tenant(kept, {"places": [f"s3://{bucket.name}/out/"]}))
    gone, job = (ended_job(engine, f"s3://{bucket.name}/out/", tenant=tenant) for tenant in (taken, kept))
    writing(lead, bucket)
    row = wait_output(engine, gone, OutputState.FAILED)
    assert row.error_reason == "BUCKET_NOT_ALLOWED" and "tenant" in row.error_detail
    wait_output(engine, job)
    assert {key.split("/")[1] for key in keys(bucket, "out/")} == {show_job_id(job)}


def test_a_bucket_that_is_not_there_fails_the_output_at_once(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, f"s3://{bucket.name}-gone/out/")
    writing(lead, bucket, output_buckets=("*",))
    row = wait_output(engine, job, OutputState.FAILED)
    assert row.error_reason == "BUCKET_NOT_FOUND" and "NoSuchBucket" in row.error_detail


def test_tenants_take_turns(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    """One tenant has all places. Another's output does not wait for the end of one of them."""
    uri = f"s3://{bucket.name}/out/"
    many, one = new_tenant(engine, "many"), new_tenant(engine, "one")
    large = [ended_job(engine, uri, n=300, tenant=many) for _ in range(2)]
    small = ended_job(engine, uri, n=2, tenant=one)
    writing(lead, bucket, outputs_at_once=1, output_shard_bytes=5000)
    ended_at = wait_output(engine, small).ended_at
    assert all(wait_output(engine, job).ended_at > ended_at for job in large)
    assert all(len(lines(read_output(bucket, job).files["jsonl"])) == 300 for job in large)


def test_leftovers_of_a_writer_that_died_are_removed(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    """Its file was not recorded and its upload not ended. What is no shard's name stays."""
    job = ended_job(engine, f"s3://{bucket.name}/out/", n=40)
    died = sql.claim(job, "died", lease_seconds=-1)
    with engine.begin() as connection:
        assert connection.execute(*died).one().fence == 1
    folder = f"out/{show_job_id(job)}/"
    bucket.put(f"{folder}jsonl/00000-1.jsonl", b"half")
    bucket.put(f"{folder}jsonl/notes.txt", b"kept")
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{folder}jsonl/00001-1.jsonl")
    writing(lead, bucket)
    wait_output(engine, job)
    assert keys(bucket, folder) == [
        f"{folder}{name}" for name in ("jsonl/00000-2.jsonl", "jsonl/notes.txt", "manifest.json")
    ]
    with pytest.raises(bucket.client.exceptions.ClientError, match="NoSuchUpload"):
        bucket.client.list_parts(Bucket=bucket.name, Key=f"{folder}jsonl/00001-1.jsonl", UploadId=upload["UploadId"])


def test_a_job_deleted_while_it_is_written_leaves_nothing(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    job = ended_job(engine, f"s3://{bucket.name}/out/", n=2000)
    writing(lead, bucket, output_shard_bytes=3000, output_lease_seconds=1)
    while not keys(bucket, "out/"):
        assert output_row(engine, job).state != OutputState.COMPLETE
    _delete(engine, job)
    until = time.monotonic() + 40
    while keys(bucket, "out/"):
        assert time.monotonic() < until, keys(bucket, "out/")


def _delete(engine: Engine, job: UUID) -> None:
    with engine.begin() as connection:
        connection.execute(delete(jobs).where(jobs.c.id == job))
