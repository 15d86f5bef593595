"""Upload pictures into the local bucket."""

import mimetypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from db.globs import KNOWN_EXTENSIONS
from deploy.local.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SUFFIXES = frozenset(f".{extension}" for extension in (*KNOWN_EXTENSIONS, "jsonl", "csv", "gz"))


@dataclass(frozen=True)
class Uploaded:
    """Keys, and the files that were left out, with the reason."""

    keys: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def put(client: "S3Client", bucket: str, folder: Path) -> Uploaded:
    """Upload every picture and manifest below a folder; keys are `<folder's name>/<path inside>`.

    Hidden files and folders are left out and not mentioned.
    """
    done, files = Uploaded(), []
    for file in _shown(folder):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() not in SUFFIXES:
            done.left_out[name] = "no picture by its name"
        elif folder.resolve() not in file.resolve().parents:
            done.left_out[name] = "a link that leads outside"
        else:
            files.append(file)
    if not files:
        raise StackError(f"There is no picture in {folder}. Names must end in one of {' '.join(sorted(SUFFIXES))}.")

    def upload(file: Path) -> str:
        key = f"{folder.resolve().name}/{file.relative_to(folder).as_posix()}"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        client.upload_file(str(file), bucket, key, ExtraArgs={"ContentType": kind})
        return key

    with ThreadPoolExecutor(8) as pool:
        done.keys.extend(pool.map(upload, files))
    return done


def _shown(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise StackError(f"{folder} is not a folder.")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file
