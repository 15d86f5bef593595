"""The stack as a context manager, as tests of faults use it."""

import re
from pathlib import Path

import httpx
import pytest

from deploy.local.errors import ChildFailed, Misconfigured, StackError
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


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"MASKWORKS_DEVICE": "abacus"}, "MASKWORKS_DEVICE=abacus: is not of this kind: cpu, cuda"),
        (
            {"MASKWORKS_MODELS": "sam_huge"},
            "MASKWORKS_MODELS=sam_huge: no model is called 'sam_huge'; there are sam_vit_h",
        ),
        ({"MASKWORKS_MODELS": "sam_vit_b", "MASKWORKS_CACHE": "/nowhere"}, "no weights for sam_vit_b at /nowhere"),
        ({"MASKWORKS_CHECKPOINTS": "sam_tiny"}, "MASKWORKS_CHECKPOINTS=sam_tiny: 'sam_tiny' has no path"),
        ({"MASKWORKS_SLOTS": "many"}, "MASKWORKS_SLOTS=many: should be a valid integer"),
        ({"MASKWORKS_LOG_LEVEL": "loud"}, "MASKWORKS_LOG_LEVEL=LOUD: should be 'DEBUG'"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_of_ours_starts(
    passable_folder: Path, broken: dict[str, str], why: str
) -> None:
    said: list[str] = []
    with (
        pytest.raises(Misconfigured, match=re.escape(why)) as refusal,
        stack(passable_folder / "broken", models=None, env=broken, fast=True, say=said.append),
    ):
        pass
    assert "\n" not in str(refusal.value)
    assert [step for step in said if "database up to date" in step or "API" in step] == []


def test_a_program_that_finds_itself_misconfigured_is_not_started_again(passable_folder: Path) -> None:
    with stack(passable_folder / "once", models="null", fast=True) as running:
        running.add_worker({"MASKWORKS_SLOTS": "none"})
        with pytest.raises(ChildFailed, match=r"worker-2 refuses its settings") as failure:
            running.supervisor.wait_for_failure(60)
        log = (running.folder.logs / "worker-2.log").read_text()
        assert log == "MASKWORKS_SLOTS=none: should be a valid integer, unable to parse string as an integer\n"
        running.supervisor.failure = None
    assert "MASKWORKS_SLOTS=none" in str(failure.value)


def test_put_takes_pictures_and_leaves_the_rest(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "holiday pictures"
    (folder / "day 1").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (tmp_path / "secret.png").write_bytes(b"not yours")
    for name in ("a.JPG", "day 1/b.png", "notes.txt", ".hidden/c.png"):
        (folder / name).write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    done = put(bucket.client, bucket.name, folder)
    assert done.keys == ["holiday pictures/a.JPG", "holiday pictures/day 1/b.png"]
    assert done.left_out == {"link.png": "a link that leads outside", "notes.txt": "no picture by its name"}
    found = bucket.client.list_objects_v2(Bucket=bucket.name)
    assert [each["Key"] for each in found["Contents"]] == ["holiday pictures/a.JPG", "holiday pictures/day 1/b.png"]


def test_put_of_nothing_is_an_error(tmp_path: Path) -> None:
    client = s3_client("http://127.0.0.1:9", "key", "secret")
    with pytest.raises(StackError, match="There is no picture in"):
        put(client, "images", tmp_path)
    with pytest.raises(StackError, match="is not a folder"):
        put(client, "images", tmp_path / "nowhere")
    client.close()
