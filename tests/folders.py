"""A folder for a stack or its stores, and its quick removal."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

AT_ONCE = 32


@contextmanager
def new_folder(prefix: str) -> Iterator[Path]:
    """Not tmp_path: pytest closes its folders to others, and Postgres under root runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Delete it with all that is in it. What a killed program still writes meanwhile may stay.

    Many folders at a time: on a disk that is told of each freed block (`mount -o discard`), a file takes milliseconds,
    and the hundred databases of a test process have 30,000 files.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for at, _, names in os.walk(folder):
            pool.submit(_unlink, Path(at), names)
    shutil.rmtree(folder, ignore_errors=True)


def _unlink(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
