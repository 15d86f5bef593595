"""The command `maskworks` against the running service: what it prints, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from maskworks import Client
from maskworks.cli import main as command

PACKAGE = Path(__file__).parents[2] / "client"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(service: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process, in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWORKS_STACK", str(service.folder.stack_file))
    monkeypatch.setenv("MASKWORKS_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()

    def run(*words: object, **environment: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["maskworks", *map(str, words)])
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                command.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_from_a_folder_to_a_coco_file_in_one_line(run: Run, photos: Path) -> None:
    code, out, err = run("submit", photos, "--wait", "--export", "coco", "--label", "of=command")
    assert "left out 1 file (no picture by name): notes.txt\n" in err
    job = out.strip()
    assert code == 0 and f"{job} succeeded: 2 of 2 succeeded" in err and "2 files in S3" in err
    assert len(json.loads(Path(f"{job}.coco.json").read_text())["images"]) == 2
    code, out, _ = run("results", job, "--export", "jsonl", "--to", "all.jsonl")
    assert (code, out) == (0, "all.jsonl\n") and len(Path("all.jsonl").read_text().splitlines()) == 3
    assert run("jobs", "--label", "of=command", "--limit", "1")[1].splitlines()[1].startswith(job)
    for words in (["show"], ["watch"], ["results"]):
        assert "succeeded" in "".join(run(*words, job)[1:])
    assert json.loads(run("show", job, "--json")[1])["counts"]["succeeded"] == 2
    assert [each["custom_id"] for each in json.loads(run("results", job, "--json")[1])] == [
        "coffee.jpg",
        "more/cat.png",
    ]
    assert run("overlay", job, "1")[:2] == (0, f"{job}.1.png\n") and Path(f"{job}.1.png").stat().st_size > 1000
    assert run("webhook", job)[0] == 5 and run("webhook-secrets", "--create")[1].startswith("whsec_")
    assert run("delete", job)[0] == 0 and run("show", job)[0] == 5


def test_annotations_are_listed_exported_and_deleted(run: Run, client: Client) -> None:
    mask = {"image": "s3://images/a.jpg", "segmentation": {"size": [2, 2], "counts": "04"}, "stage": "assisted"}
    ids = client.annotations.store([{**mask, "annotator": "ann", "clicks": n} for n in range(3)])
    assert [one["id"] for one in json.loads(run("annotations", "list", "--json")[1])] == sorted(ids)
    table = run("annotations", "list", "--stage", "assisted", "--limit", "2")[1].splitlines()
    assert len(table) == 3 and table[1].startswith(min(ids))
    assert run("annotations", "export", "coco", "all.json")[0] == 0
    assert len(json.loads(Path("all.json").read_text())["annotations"]) == 3
    assert run("annotations", "export", "yolo", "all.json")[0] == 2
    assert run("annotations", "delete")[0] == run("annotations", "delete", ids[0], "--all")[0] == 2
    assert run("annotations", "delete", ids[0])[0] == 0
    assert "deleted 2 annotations" in run("annotations", "delete", "--image-prefix", "s3://images/")[2]
    assert json.loads(run("annotations", "list", "--json")[1]) == []


def test_one_image_is_segmented_and_drawn(run: Run, photos: Path) -> None:
    image = photos / "coffee.jpg"
    code, out, err = run(
        "segment", image, "--point", "300,200", "--background", "10,10", "--save", "over.png", "--json"
    )
    assert code == 0 and len(json.loads(out)["masks"]) == 1 and "1 mask in over.png" in err
    assert Path("over.png").read_bytes().startswith(b"\x89PNG")
    assert run("segment", image, "--box", "1,2,3")[0] == 2


def test_an_image_is_uploaded_and_named(run: Run, photos: Path) -> None:
    code, out, _ = run("upload", photos / "more")
    assert code == 0 and out.startswith("s3://") and out.endswith("/cat.png\n")
    assert run("upload", photos / "notes.txt")[0] == 5 and run("upload", "nowhere.png")[0] == 1


def test_exit_codes_say_what_happened(run: Run, service: Stack, photos: Path) -> None:
    bucket = f"s3://{service.bucket}"
    partial = run("submit", f"{bucket}/nothing.jpg", photos / "coffee.jpg", "--wait")
    assert partial[0] == 3 and "1 OBJECT_NOT_FOUND" in partial[2]
    assert run("watch", partial[1].strip())[0] == 3
    assert run("retry", partial[1].strip(), "--wait")[0] == 4
    assert f"results {partial[1].strip()} --state failed" in partial[2]
    for words in (["submit", "nowhere"], ["segment", "nowhere"], ["submit", photos, "--export", "cocoo"]):
        assert run(*words)[0] == 2
    code, _, said = run("submit", f"{bucket}/photos/", "--priority", "11")
    assert code == 5 and "INVALID_REQUEST" in said and "/priority" in said
    assert run("models", MASKWORKS_API_KEY="mw_wrong")[0] == 5
    assert run("models", MASKWORKS_STACK="/nowhere")[0] == 2
    Path("all.jsonl").write_text("[]\n")
    assert run("submit", "all.jsonl")[0] == 1


def test_an_interrupted_wait_says_how_to_return(service: Stack, client: Client, tmp_path: Path) -> None:
    items = tmp_path / "many.jsonl"
    lines = ({"image": f"s3://{service.bucket}/nothing/{i}.jpg"} for i in range(20_000))
    items.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    environment = {**os.environ, "MASKWORKS_STACK": str(service.folder.stack_file), "PYTHONPATH": str(PACKAGE)}
    words = [sys.executable, "-m", "maskworks.cli", "submit", str(items), "--export", "coco"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        job = client.jobs.get(process.stdout.readline().strip())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert (
        process.returncode == 130
        and f"maskworks watch {job.id}" in said
        and "--export coco" in said
        and not job.refresh().done
    )
    assert job.cancel().state == "cancelled"


def test_an_option_ends_the_wait_and_a_cancelled_job_is_unsuccessful(run: Run, service: Stack) -> None:
    items = [{"image": f"s3://{service.bucket}/nothing/{i}.jpg"} for i in range(20_000)]
    Path("many.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in items))
    code, out, err = run("submit", "many.jsonl", "--timeout", "0.1", "--wait", "--json")
    job = json.loads(out)["id"]
    assert code == 7 and f"maskworks watch {job}" in err
    assert run("cancel", job)[0] == 0 and run("watch", job, "--json")[0] == 4


def test_keys_of_the_local_stack_are_made(run: Run) -> None:
    assert run("keys", "list", "--json")[0] == 0


def findings(run: Run, **environment: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run("doctor", "--json", **environment)
    return code, {each["name"]: each for each in json.loads(out)}


def test_doctor_says_which_dependency_is_broken_and_what_to_do(
    run: Run, service: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, found = findings(run)
    assert code == 0 and all(each["ok"] for each in found.values()), found
    for name in ("redis", "dispatcher", "worker-1", "s3", "postgres", "api"):
        service.stop_child(name, hurry=name != "dispatcher")  # which gives its lease back
        code, found = findings(run)
        service.start_child(name)
        wrong = {each["name"] for each in found.values() if each["ok"] is False}
        also = {"postgres": {"database"}, "s3": {"uploads"}}.get(name, set())
        assert code == 1 and wrong == {name, *also}, found
        assert found[name]["todo"]
        until = time.monotonic() + 60
        while findings(run)[0] != 0:
            assert time.monotonic() < until, f"{name} does not come back"
    other = {"MASKWORKS_STACK": "/nowhere", "MASKWORKS_API_KEY": "mw_wrong"}
    assert findings(run, **other)[1]["settings"]["ok"] is False
    assert findings(run, MASKWORKS_URL="http://127.0.0.1:9", **other)[1]["server"]["ok"] is False
    assert "keys create" in findings(run, MASKWORKS_API_KEY="mw_wrong")[1]["key"]["todo"]
    assert findings(run, MASKWORKS_UPLOADS="s3://nowhere/")[1]["uploads"]["ok"] is False
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert "maskworks-client[s3]" in findings(run)[1]["uploads"]["todo"]
