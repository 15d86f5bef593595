"""Upload pictures into the local bucket."""

import mimetypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jsonl", ".csv", ".gz"})


def put(client: "S3Client", bucket: str, folder: Path) -> list[str]:
    """Upload every picture and manifest below a folder; keys are `<folder's name>/<path inside>`.

    Returns the keys. Hidden files and folders, and links that lead outside, are left out.
    """
    files = list(_pictures(folder))
    if not files:
        raise StackError(f"There is no picture in {folder}. Names must end in one of {' '.join(sorted(SUFFIXES))}.")

    def upload(file: Path) -> str:
        key = f"{folder.resolve().name}/{file.relative_to(folder).as_posix()}"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        client.upload_file(str(file), bucket, key, ExtraArgs={"ContentType": kind})
        return key

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(upload, files))


def _pictures(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise StackError(f"{folder} is not a folder.")
    home = folder.resolve()
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in SUFFIXES and file.is_file() and not hidden and home in file.resolve().parents:
            yield file
