"""S3 from a Python package: `rclone serve s3` over a folder, in which buckets are folders."""

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.children import Command
from deploy.local.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"


class S3:
    name = "s3"

    def __init__(self, folder: Path, log: Path, access_key: str, secret_key: str) -> None:
        self.folder = folder
        self.log = log
        self.access_key = access_key
        self.secret_key = secret_key
        self.program = _program()

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def command(self, port: int) -> Command:
        return Command(
            name=self.name,
            argv=(
                str(self.program), "serve", "s3", str(self.folder),
                "--addr", f"127.0.0.1:{port}",
                "--vfs-cache-mode", "off",
                # A picture copied into the folder by hand shows up this soon.
                "--dir-cache-time", "2s",
            ),
            log=self.log,
            cwd=self.folder,
            environment={
                "PATH": os.environ.get("PATH", os.defpath),
                # Not an argument, because everybody on the machine can read arguments.
                "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
                "RCLONE_CONFIG": os.devnull,
                "RCLONE_CACHE_DIR": str(self.folder.parent / "logs"),
            },
        )  # fmt: skip

    def answers(self, port: int) -> bool:
        try:
            self.client(port, timeout=2).list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def finish(self, port: int) -> None:
        """Nothing to create: the stack makes its bucket."""

    def client(self, port: int, timeout: int = 30) -> "S3Client":
        return s3_client(self.url(port), self.access_key, self.secret_key, timeout)

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"


def s3_client(endpoint_url: str, access_key: str, secret_key: str, timeout: int = 30) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=REGION,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"max_attempts": 2},
        ),
    )


def _program() -> Path:
    program = Path(sysconfig.get_path("scripts")) / "rclone"
    if not program.exists():
        raise StackError("The local S3 server is not installed. Run `make install`.")
    return program
