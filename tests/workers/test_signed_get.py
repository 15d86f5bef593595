"""Our own signed GET against the real S3 server: odd names, refusals, limits, and boto3 for the rest."""

import threading
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from tests.conftest import Bucket
from workers.failures import ItemFailed
from workers.settings import Settings
from workers.signed_get import SignedGet
from workers.storage import fetch, s3_client


@pytest.fixture
def signed(settings: Settings) -> Iterator[SignedGet]:
    signed = SignedGet(settings, s3_client(settings))
    yield signed
    signed.close()


@pytest.mark.parametrize("key", ["a.jpg", "b c/d+e.jpg", "ü/漢字 100%.jpg", "q?x=1&y=#z.jpg", "~a-b_c.d/=(1).jpg"])
def test_names_of_all_kinds(signed: SignedGet, bucket: Bucket, settings: Settings, key: str) -> None:
    uri = bucket.put(key, key.encode() * 3)
    assert fetch(signed, uri, settings, threading.Event()) == key.encode() * 3


def test_connections_are_kept(signed: SignedGet, bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("a.jpg", b"12345")
    for _ in range(20):
        assert fetch(signed, uri, settings, threading.Event()) == b"12345"
    assert len(signed._connections._idle) == 1


def test_nothing_there(signed: SignedGet, bucket: Bucket, settings: Settings) -> None:
    with pytest.raises(ItemFailed, match="OBJECT_NOT_FOUND"):
        fetch(signed, f"s3://{bucket.name}/absent.jpg", settings, threading.Event())


def test_a_wrong_secret(bucket: Bucket, settings: Settings) -> None:
    wrong = settings.model_copy(update={"s3_secret_key": "wrong-" * 4})
    uri = bucket.put("a.jpg", b"12345")
    with pytest.raises(ItemFailed, match="ACCESS_DENIED"):
        fetch(get := SignedGet(wrong, s3_client(wrong)), uri, wrong, threading.Event())
    get.close()


def test_no_credentials(signed: SignedGet) -> None:
    signed._credentials = None
    with pytest.raises(NoCredentialsError):
        signed.get_object(Bucket="b", Key="k")


def test_what_is_too_large(signed: SignedGet, bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("a.jpg", b"x" * 2000)
    with pytest.raises(ItemFailed, match="IMAGE_TOO_LARGE"):
        fetch(signed, uri, settings.model_copy(update={"max_image_bytes": 1000}), threading.Event())


def test_a_path_that_clients_would_tidy_up_goes_by_boto(signed: SignedGet, bucket: Bucket) -> None:
    with pytest.raises(ClientError):
        signed.get_object(Bucket=bucket.name, Key="a/../b.jpg")
