"""Find and verify checkpoint files. Torch-free.

The search takes the path or URI that was asked for. Without one it looks in the cache, under the published file name,
and then among the files bundled with this package. The file's digest is the `revision` in every result.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from model.errors import CheckpointError
from model.sizes import Size

BUNDLED = Path(__file__).parent.parent / "checkpoints"

Download = Callable[[str, Path], None]  # downloads an s3:// URI into a file, with the caller's endpoint and credentials


def find(
    row: Size, checkpoint: str | Path | None = None, *, cache: Path | None = None, download: Download | None = None
) -> Path:
    """The path of the checkpoint. CheckpointError lists the places that were searched."""
    checkpoint = split_digest(checkpoint)[0]
    if checkpoint is not None and str(checkpoint).startswith("s3://"):
        return _from_s3(row, str(checkpoint), cache, download)
    if checkpoint is not None:
        places = [Path(checkpoint).expanduser()]
    else:
        places = [cache / row.filename] if cache and row.filename else []
        places.append(BUNDLED / f"{row.name}.safetensors")
    for place in places:
        if place.is_file():
            return place
    raise CheckpointError(f"no weights for {row.name} at {', '.join(map(str, places))}; {_advice(row)}")


def split_digest(checkpoint: str | Path | None) -> tuple[str | Path | None, str | None]:
    """The checkpoint without its digest, and the digest or None: `weights.pth#<64 hexadecimal digits>`."""
    found = re.fullmatch(r"(.+)#([0-9a-fA-F]{64})", str(checkpoint or ""))
    return (found[1], found[2].lower()) if found else (checkpoint, None)


def verify(row: Size, path: Path, expected: str | None = None) -> str:
    """The file's sha256. Raises CheckpointError if it is not `expected`, or not the published one under that name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if row.sha256 and path.name == row.filename and digest != row.sha256:
        raise CheckpointError(
            f"{path} is not the published {row.filename} (sha256 {digest}, published {row.sha256}): partial or "
            f"altered. Delete it and {_advice(row)}; weights of your own need another file name"
        )
    if expected and digest != expected:
        raise CheckpointError(f"{path} has the sha256 {digest}, not {expected} as was asked for: partial or altered")
    return digest


def _advice(row: Size) -> str:
    if row.url is None:
        return f"give the path of a checkpoint, or a seed for random weights ({row.name} is not published)"
    return f"run `{sys.executable} -m model.weights fetch {row.name}`, or give the path of {row.filename}"


def _from_s3(row: Size, uri: str, cache: Path | None, download: Download | None) -> Path:
    """Download at every load, because the object may have been replaced."""
    if cache is None or download is None:
        raise CheckpointError(f"{uri}: an s3:// checkpoint of {row.name} needs a cache folder and S3 settings")
    folder, name = cache / hashlib.sha256(uri.encode()).hexdigest()[:16], uri.rpartition("/")[2]
    path, partial = folder / name, folder / f"{name}.{os.getpid()}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        download(uri, partial)
        partial.replace(path)
    except OSError as error:
        raise CheckpointError(f"the checkpoint of {row.name} cannot be fetched: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path
