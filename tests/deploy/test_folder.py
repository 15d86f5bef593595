"""The data folder: one holder, private secrets, a reset that deletes nothing of others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.errors import AlreadyRunning, NotRunning, StackError
from deploy.local.folder import DataFolder


def test_a_second_holder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path / "data").locked(),
        pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}.*make down"),
        DataFolder(tmp_path / "data").locked(),
    ):
        pass


def test_a_pid_left_by_a_crash_is_nobody(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        assert folder.holder() == os.getpid()
    assert (tmp_path / "data/lock").read_text() == str(os.getpid())  # alive, but it holds nothing
    assert folder.holder() is None
    with pytest.raises(NotRunning):
        folder.end_holder()


def test_a_stale_stack_file_goes_when_the_folder_is_taken(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.stack_file.write_text("{}")
    with folder.locked():
        assert not folder.stack_file.exists()


def test_the_lock_goes_with_a_killed_holder(tmp_path: Path) -> None:
    script = (
        "import time; from pathlib import Path; from deploy.local.folder import DataFolder\n"
        f"with DataFolder(Path({str(tmp_path / 'data')!r})).locked(): print('held', flush=True); time.sleep(60)"
    )
    folder = DataFolder(tmp_path / "data")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert folder.holder() == holder.pid
        holder.kill()
    assert folder.holder() is None


def test_secrets_stay_the_same_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        first = folder.secrets()
        assert folder.secrets() == first
        assert len(set(first.values())) == len(first)
        assert (folder.path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_reset_deletes_what_is_ours_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.secrets()
        (folder.path / "redis").mkdir()
        (folder.path / "thesis.txt").write_text("mine")
        with pytest.raises(AlreadyRunning):
            folder.forget()
    folder.forget()
    assert [path.name for path in folder.path.iterdir()] == ["thesis.txt"]


def test_an_unusable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="data folder"), DataFolder(tmp_path / "file/data").locked():
        pass
