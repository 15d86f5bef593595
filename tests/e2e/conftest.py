"""The whole service as processes, with the real small model, once for the module that asks."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack
from tests.conftest import Bucket

MAX_PIXELS = 700_000


@pytest.fixture(scope="module")
def service() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="maskworks-e2e-"))
    folder.chmod(0o711)
    env = {"MASKWORKS_LEASE_SECONDS": "3", "MASKWORKS_MAX_IMAGE_PIXELS": str(MAX_PIXELS)}
    try:
        with stack(folder / "data", models="sam_tiny", fast=True, env=env) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def http(service: Stack) -> Iterator[httpx.Client]:
    with service.client(timeout=90) as client:
        yield client


@pytest.fixture(scope="module")
def pictures(service: Stack) -> Bucket:
    s3 = service.stores.s3
    return Bucket(service.bucket, s3_client(s3.endpoint_url, s3.access_key, s3.secret_key))
