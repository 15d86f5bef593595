"""Bring local pictures to S3, directly or through the server. Keys hold a hash, so that nothing is there twice."""

import hashlib
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maskworks.config import Config
from maskworks.errors import UploadError
from maskworks.extras import extra
from maskworks.submission import local_file

if TYPE_CHECKING:
    from maskworks.sync.client import Client

SUFFIXES: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
        *(".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".pnm", ".ppm", ".pgm", ".pbm", ".pam"),
    )
)
"""Those that a server takes below a prefix."""
_AT_ONCE: Final = 8
_AT_ONCE_THROUGH_SERVER: Final = 3
_SOME: Final = 256
_NO_PLACE: Final = (
    "local files need a place in S3, because the server takes no uploads: set MASKWORKS_UPLOADS=s3://bucket/prefix/ "
    "(a bucket that the server may read)"
)


def pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, by name. Hidden files and folders are left out. Raises UploadError."""
    found = [path for path in _shown(folder) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise UploadError(f"there is no picture in {folder}")
    return found


def others(folder: Path) -> list[Path]:
    """What `pictures` leaves out, but for hidden files and folders."""
    return [path for path in _shown(folder) if path.suffix.lower() not in SUFFIXES]


def _shown(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def expanded(items: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Items with each folder replaced by its pictures. Their `custom_id` is the path inside the folder."""
    for item in items:
        path = local_file(item["image"])
        if path is None or not path.is_dir():
            yield dict(item)
            continue
        for picture in pictures(path):
            yield {**item, "image": picture, "custom_id": picture.relative_to(path).as_posix()}


def in_s3(
    items: Iterable[Mapping[str, Any]], config: Config, say: Callable[[int], object] | None
) -> Iterator[dict[str, Any]]:
    """Items with each local file replaced by its place in S3. `say` gets the number of files so far.

    Some at a time: the items of a submit may be millions.
    """
    items, n = iter(items), 0
    uploader: Uploader | ThroughServer | None = None
    while some := list(islice(items, _SOME)):
        files = [path for item in some if (path := local_file(item["image"])) is not None]
        if files and uploader is None:
            uploader = Uploader(config) if config.uploads else ThroughServer(config)
        uris = uploader.put_all(files) if uploader else {}
        n += len(files)
        if files and say is not None:
            say(n)
        for item in some:
            path = local_file(item["image"])
            yield dict(item) if path is None else {"custom_id": path.as_posix(), **item, "image": uris[path]}


class ThroughServer:
    """Uploads by the server's own route, where no place in S3 is set. No credentials are needed but the key."""

    def __init__(self, config: Config) -> None:
        """Raises UploadError where the server takes none."""
        self._config = config
        with self._client() as client:
            if not client.uploads().enabled:
                raise UploadError(_NO_PLACE)

    def put_all(self, files: Iterable[Path]) -> dict[Path, str]:
        """The URI of each file. Raises UploadError, APIError."""
        paths = list(dict.fromkeys(files))
        with self._client() as client, ThreadPoolExecutor(_AT_ONCE_THROUGH_SERVER) as pool:
            return dict(zip(paths, pool.map(partial(self._put, client), paths), strict=True))

    def _client(self) -> "Client":
        from maskworks.sync.client import Client

        return Client(config=self._config)

    def _put(self, client: "Client", path: Path) -> str:
        try:
            return client.upload(path).image
        except OSError as error:
            raise UploadError(f"{path} cannot be read: {error.strerror or error}") from error


class Uploader:
    """Uploads into `config.uploads`. Access is the local stack's, or what boto3 finds in its usual places."""

    def __init__(self, config: Config) -> None:
        """Raises UploadError, MissingExtra."""
        if not config.uploads or not config.uploads.startswith("s3://"):
            raise UploadError(_NO_PLACE)
        boto3 = extra("boto3", "Uploading local files", "s3")
        self._bucket, _, self._prefix = config.uploads.removeprefix("s3://").partition("/")
        if self._prefix and not self._prefix.endswith("/"):
            self._prefix += "/"
        config_of = extra("botocore.config", "Uploading local files", "s3").Config
        access = config.s3
        self._s3 = boto3.client(
            "s3",
            endpoint_url=access.endpoint_url,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            region_name=access.region,
            config=config_of(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}),
        )

    def put_all(self, files: Iterable[Path]) -> dict[Path, str]:
        """The URI of each file, uploaded where S3 lacks it. Raises UploadError."""
        paths = list(dict.fromkeys(files))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(paths, pool.map(self._put, paths), strict=True))

    def probe(self) -> str:
        """Write and delete a small object; its URI. Raises UploadError."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}.maskworks-probe.png"
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=b"probe")
            self._s3.delete_object(Bucket=self._bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            raise UploadError(f"s3://{self._bucket}/{self._prefix} cannot be written: {error}") from error
        return f"s3://{self._bucket}/{key}"

    def _put(self, path: Path) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            key = f"{self._prefix}{_digest(path)}/{path.name}"
            if not self._is_there(key, path.stat().st_size):
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                self._s3.upload_file(str(path), self._bucket, key, ExtraArgs={"ContentType": kind})
        except OSError as error:
            raise UploadError(f"{path} cannot be read: {error.strerror or error}") from error
        except (BotoCoreError, ClientError, self._failed()) as error:
            raise UploadError(f"{path} cannot be uploaded to s3://{self._bucket}/{self._prefix}: {error}") from error
        return f"s3://{self._bucket}/{key}"

    def _is_there(self, key: str, size: int) -> bool:
        from botocore.exceptions import ClientError

        try:
            return bool(self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"] == size)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):  # 403: no right to list
                return False
            raise

    def _failed(self) -> type[Exception]:
        from boto3.exceptions import S3UploadFailedError

        return S3UploadFailedError


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
