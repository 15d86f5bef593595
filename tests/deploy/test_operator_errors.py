"""Every entry point answers a wrong environment with one line a fault and its own exit code, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.configuration import EXIT_CONFIGURATION

ROOT = Path(__file__).parents[2]
RIGHT = {
    "MASKWORKS_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
    "MASKWORKS_REDIS_URL": "redis://127.0.0.1:9/0",
    "MASKWORKS_KEY_PEPPER": "pepper",
    "MASKWORKS_MODELS": "null",
}
ENTRIES = {
    "api": ("uvicorn", "--factory", "api.main:create_app", "--port", "0"),
    "server": ("api.server", "--port", "0"),
    "dispatcher": ("workers.dispatcher",),
    "worker": ("celery", "-A", "workers.main", "worker"),
    "migrate": ("db.migrate",),
    "keys": ("db.keys", "create", "--name", "x"),
    "tenants": ("db.tenants", "create", "x"),
}
READS = {
    "MASKWORKS_DATABASE_URL": set(ENTRIES),
    "MASKWORKS_KEY_PEPPER": {"api", "server", "dispatcher", "keys"},
    "MASKWORKS_REDIS_URL": {"api", "server", "dispatcher", "worker"},
    "MASKWORKS_MODELS": {"worker"},
    "MASKWORKS_POOL_SIZE": {"api", "server"},
    "MASKWORKS_LOG_LEVEL": {"api", "server"},
    "MASKWORKS_SLOTS": {"worker"},
    "MASKWORKS_S3_ENDPOINT_URL": {"api", "server", "dispatcher", "worker"},
}
WRONG = {
    "MASKWORKS_DATABASE_URL": "postgresql://u:top secret@h/d",
    "MASKWORKS_REDIS_URL": "top secret",
    "MASKWORKS_MODELS": "sam_huge",
    "MASKWORKS_POOL_SIZE": "0",
    "MASKWORKS_LOG_LEVEL": "loud",
    "MASKWORKS_SLOTS": "none",
    "MASKWORKS_S3_ENDPOINT_URL": "s3.example.org",
}


def _run(entry: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MASKWORKS_")}
    return subprocess.run(
        [sys.executable, "-m", *ENTRIES[entry]],
        cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def _faults(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines that a refused start prints, each of which has to name a variable first."""
    assert done.returncode == EXIT_CONFIGURATION, done.stderr
    return [line.split()[0].split("=")[0].rstrip(":") for line in done.stderr.splitlines()]


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_wrong_is_named_once_and_no_secret_is_shown(entry: str) -> None:
    done = _run(entry, **{**RIGHT, **WRONG})
    assert sorted(_faults(done)) == sorted(name for name in WRONG if entry in READS[name])
    assert "secret" not in done.stderr


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_missing_is_named(entry: str) -> None:
    required = {name: READS[name] for name in ("MASKWORKS_DATABASE_URL", "MASKWORKS_KEY_PEPPER", "MASKWORKS_REDIS_URL")}
    required["MASKWORKS_REDIS_URL"] = {"dispatcher", "worker"}  # the API answers without it
    done = _run(entry, MASKWORKS_KEY_PEPPER="")  # empty is as good as unset
    assert sorted(_faults(done)) == sorted(name for name, entries in required.items() if entry in entries)
    assert all("is not set: " in line for line in done.stderr.splitlines())


def test_the_api_knows_the_models_too() -> None:
    done = _run("api", **RIGHT | {"MASKWORKS_MODELS": "sam_huge"})
    assert _faults(done) == ["MASKWORKS_MODELS"]
    assert "no model is called 'sam_huge'; there are sam_vit_h" in done.stderr


def test_a_worker_without_its_weights_says_so_in_one_line(tmp_path: Path) -> None:
    done = _run("worker", **RIGHT | {"MASKWORKS_MODELS": "sam_vit_b", "MASKWORKS_CACHE": str(tmp_path)})
    assert done.returncode == EXIT_CONFIGURATION
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "CRITICAL" in line]
    assert f"no weights for sam_vit_b at {tmp_path}" in line and "model.weights fetch sam_vit_b" in line


@pytest.mark.parametrize("entry", ["migrate", "keys"])
def test_a_database_that_is_away_is_one_line_and_may_be_tried_again(entry: str) -> None:
    done = _run(entry, **RIGHT)
    assert done.returncode == 1
    assert done.stderr.startswith("the database failed: ") and done.stderr.count("\n") == 1
