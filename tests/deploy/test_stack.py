"""The stack as a context manager, as tests of faults use it."""

from pathlib import Path

import httpx
import pytest

from deploy.local.errors import ChildFailed, StackError
from deploy.local.put import put
from deploy.local.s3 import s3_client
from deploy.local.stack import stack
from tests.conftest import Bucket


def test_programs_can_be_stopped_started_and_added(passable_folder: Path) -> None:
    settings = {"MASKWORKS_LEASE_SECONDS": "5"}
    with stack(passable_folder / "library", models="null", env=settings, fast=True) as running:
        assert running.environment["MASKWORKS_LEASE_SECONDS"] == "5"
        assert running.add_worker({"MASKWORKS_NULL_DELAY": "0.1"}) == "worker-2"
        assert len(running.description()["pids"]["workers"]) == 2  # type: ignore[index]
        running.stop_child("api", hurry=True)
        with pytest.raises(httpx.TimeoutException), running.client(timeout=0.5) as client:
            client.get("/healthz")  # the socket is still bound: a client waits, it is not refused
        running.start_child("api")
        with running.client() as client:
            assert client.get("/readyz").status_code == 200
    assert not (passable_folder / "library/stack.json").exists()


def test_a_service_that_cannot_start_is_reported_with_its_log(passable_folder: Path) -> None:
    broken = {"MASKWORKS_DEVICE": "abacus"}
    with (
        pytest.raises(ChildFailed, match=r"worker-1 ended with \d+ while starting(?s:.)*abacus"),
        stack(passable_folder / "broken", models="sam_tiny", env=broken, fast=True),
    ):
        pass


def test_put_takes_pictures_and_leaves_the_rest(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "holiday pictures"
    (folder / "day 1").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (tmp_path / "secret.png").write_bytes(b"not yours")
    for name in ("a.JPG", "day 1/b.png", "notes.txt", ".hidden/c.png"):
        (folder / name).write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert put(bucket.client, bucket.name, folder) == ["holiday pictures/a.JPG", "holiday pictures/day 1/b.png"]
    found = bucket.client.list_objects_v2(Bucket=bucket.name)
    assert [each["Key"] for each in found["Contents"]] == ["holiday pictures/a.JPG", "holiday pictures/day 1/b.png"]


def test_put_of_nothing_is_an_error(tmp_path: Path) -> None:
    client = s3_client("http://127.0.0.1:9", "key", "secret")
    with pytest.raises(StackError, match="no picture below"):
        put(client, "images", tmp_path)
    with pytest.raises(StackError, match="is not a folder"):
        put(client, "images", tmp_path / "nowhere")
    client.close()
