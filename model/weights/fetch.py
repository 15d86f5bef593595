"""Download a published checkpoint: resumed after interruptions, verified, and complete or not there."""

from __future__ import annotations

import fcntl
import hashlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO

from model.errors import CheckpointError
from model.sizes import Size

BLOCK = 1 << 20
TIMEOUT_SECONDS = 30
RANGE_NOT_SATISFIABLE = 416

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all


def fetch(row: Size, folder: Path, url: str | None = None, progress: Progress | None = None) -> Path:
    """The verified file in `folder`, downloaded if it is not there.

    An interrupted download leaves `<file>.part`, and the next call goes on from there. Raises CheckpointError if the
    address cannot be reached or does not give the published file.
    """
    address = url or row.url
    if address is None or row.filename is None or row.sha256 is None:
        raise CheckpointError(f"{row.name} is not published: there is no address to fetch it from")
    target = folder / row.filename
    if target.is_file() and _digest(target) == row.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    with _alone(partial):
        if target.is_file() and _digest(target) == row.sha256:
            return target
        _transfer(address, partial, progress or _show)
        if (found := _digest(partial)) != row.sha256:
            partial.unlink()
            raise CheckpointError(f"{address} gave a file of sha256 {found}, published is {row.sha256}: not kept")
        partial.replace(target)
    return target


@contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Processes that share the folder download one after another: the second finds the file of the first."""
    with partial.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(address: str, partial: Path, progress: Progress) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            resumed = response.status == 206  # 200: the server does not support ranges and starts over
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with partial.open("ab" if resumed else "wb") as file:
                _copy(response, file, have, total, progress)
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE:  # 416: everything is here already
            raise CheckpointError(f"{address} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise CheckpointError(f"{address} broke off ({error}); run again to go on from {partial}") from error
    if (size := partial.stat().st_size if partial.exists() else 0) == 0:
        raise CheckpointError(f"{address} gave nothing ({size} octets)")


def _copy(source: IO[bytes], file: IO[bytes], have: int, total: int | None, progress: Progress) -> None:
    while block := source.read(BLOCK):
        file.write(block)
        have += len(block)
        progress(have, total)
    if total is not None and have < total:
        raise OSError(f"{have} of {total} octets")


def _show(have: int, total: int | None) -> None:
    """Rewrite one line on a terminal. Print nothing elsewhere, where it would fill a log."""
    if sys.stderr.isatty():
        share = f" of {total / 1e6:.0f} MB ({have / total:.0%})" if total else " MB"
        end = "\n" if have == total else ""
        print(f"\r{time.strftime('%H:%M:%S')} {have / 1e6:.0f}{share}", end=end, file=sys.stderr, flush=True)
