"""Reading one object from a server that misbehaves in every way that HTTP and S3 allow."""

import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from db.states import ItemReason
from tests.conftest import Bucket
from tests.workers import hostile_s3
from tests.workers.hostile_s3 import HostileS3, send, send_chunked, send_error
from tests.workers.storage.conftest import Change, failure
from workers.failures import ItemFailed
from workers.settings import Settings
from workers.storage import reading
from workers.storage.client import s3_client
from workers.storage.reading import GivenUp, Objects


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("s3://b/k?versionId=a+b/c=", "/b/k?versionId=a%2Bb%2Fc%3D"),
        ("s3://b/k?x=1?versionId=null", "/b/k%3Fx%3D1?versionId=null"),
        ("s3://b/k?versionid=1", "/b/k%3Fversionid%3D1"),
    ],
)
def test_a_version_is_asked_for_and_nothing_else_is_one(
    server: HostileS3, objects: Change, uri: str, asked: str
) -> None:
    assert objects().open(uri).read() == b"x"
    assert server.heads[0].startswith(f"GET {asked} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", "NoSuchVersion"),
        ("400 Bad Request", "NoSuchVersion"),
        ("400 Bad Request", "InvalidArgument"),
        ("501 Not Implemented", "NotImplemented"),
    ],
)
def test_a_version_that_there_is_not(server: HostileS3, objects: Change, status: str, code: str) -> None:
    server.answer = _status(status, code)
    failed = failure(objects(), "s3://b/k?versionId=gone")
    assert failed.reason is ItemReason.OBJECT_NOT_FOUND and failed.detail == f"s3://b/k?versionId=gone: {code}"
    assert len(server.heads) == 1


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_plain_answer(server: HostileS3, objects: Change, size: int) -> None:
    server.answer = lambda connection, _: send(connection, b"x" * size)
    assert objects().open("s3://b/k").read() == b"x" * size
    assert len(server.heads) == 1


@pytest.mark.parametrize("size", [0, 1, 4999, 5000])
def test_an_answer_without_a_length(server: HostileS3, objects: Change, size: int) -> None:
    server.answer = lambda connection, _: send_chunked(connection, b"x" * size)
    assert objects().open("s3://b/k").read() == b"x" * size


def test_an_answer_that_ends_with_its_connection(server: HostileS3, objects: Change) -> None:
    server.answer = lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n12345")
    assert objects().open("s3://b/k").read() == b"12345"


def test_a_length_above_the_cap_is_refused_unread(server: HostileS3, objects: Change) -> None:
    server.answer = lambda connection, _: send(connection, b"", length=5001)
    failed = failure(objects())
    assert failed.reason is ItemReason.IMAGE_TOO_LARGE and "5001 bytes" in failed.detail
    assert len(server.heads) == 1


def test_more_bytes_than_the_cap_without_a_length(server: HostileS3, objects: Change) -> None:
    server.answer = lambda connection, _: send_chunked(connection, b"x" * 10_000_000)
    assert failure(objects()).reason is ItemReason.IMAGE_TOO_LARGE


def _short(connection: socket.socket, _head: str) -> None:
    send(connection, b"x" * 10, length=20)


def _chunked_short(connection: socket.socket, _head: str) -> None:
    send_chunked(connection, b"x" * 10, end=False)


def _nothing(connection: socket.socket, _head: str) -> None:
    connection.close()


def _no_http(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"220 smtp.example.org ready\r\n\r\n")


def _odd_length(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\nConnection: close\r\n\r\nx")


def _wrong_checksum(connection: socket.socket, _head: str) -> None:
    send(connection, b"12345", "x-amz-checksum-crc32: AAAAAA==")


def _status(status: str, code: str) -> hostile_s3.Answer:
    return lambda connection, _: send_error(connection, status, code)


TRANSIENT = {
    "short": _short,
    "chunked short": _chunked_short,
    "closed": _nothing,
    "no http": _no_http,
    "odd length": _odd_length,
    "wrong checksum": _wrong_checksum,
    "500": _status("500 Internal Server Error", "InternalError"),
    "502": lambda connection, _: send(connection, b"<html>bad gateway", status="502 Bad Gateway"),
    "503": _status("503 Service Unavailable", "ServiceUnavailable"),
    "504": lambda connection, _: send(connection, b"", status="504 Gateway Timeout"),
    "400": _status("400 Bad Request", "RequestTimeout"),
}


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_may_pass_is_tried_again(
    server: HostileS3, objects: Change, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.001)
    server.answer = lambda connection, head: (
        TRANSIENT[kind](connection, head) if len(server.heads) < 3 else send(connection, b"12345")
    )
    assert objects().open("s3://b/k").read() == b"12345"
    assert len(server.heads) == 3


# botocore leaves the connection of an answer whose length it cannot read to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_never_passes_ends(server: HostileS3, objects: Change, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.001)
    server.answer = TRANSIENT[kind]
    failed = failure(objects())
    assert failed.reason is ItemReason.STORAGE_UNAVAILABLE and failed.detail.startswith("s3://b/k: ")
    assert len(server.heads) == 5
    del failed
    gc.collect()


def test_a_server_that_is_away(objects: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert failure(objects(s3_endpoint_url=url)).reason is ItemReason.STORAGE_UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "code", "reason", "hint"),
    [
        ("404 Not Found", "NoSuchKey", "OBJECT_NOT_FOUND", "NoSuchKey"),
        ("404 Not Found", "NoSuchBucket", "OBJECT_NOT_FOUND", "NoSuchBucket"),
        ("405 Method Not Allowed", "MethodNotAllowed", "OBJECT_NOT_FOUND", "MethodNotAllowed"),
        ("400 Bad Request", "KeyTooLongError", "OBJECT_NOT_FOUND", "KeyTooLongError"),
        ("403 Forbidden", "AccessDenied", "ACCESS_DENIED", "s3:GetObject"),
        ("403 Forbidden", "InvalidAccessKeyId", "ACCESS_DENIED", "MASKWORKS_S3_ACCESS_KEY"),
        ("403 Forbidden", "SignatureDoesNotMatch", "ACCESS_DENIED", "MASKWORKS_S3_SECRET_KEY"),
        ("403 Forbidden", "RequestTimeTooSkewed", "ACCESS_DENIED", "clock"),
        ("403 Forbidden", "InvalidObjectState", "ACCESS_DENIED", "archived"),
        ("403 Forbidden", "SomethingNew", "ACCESS_DENIED", "SomethingNew"),
        ("401 Unauthorized", "Unauthorized", "ACCESS_DENIED", "Unauthorized"),
        ("400 Bad Request", "ExpiredToken", "ACCESS_DENIED", "expired"),
        ("400 Bad Request", "InvalidToken", "ACCESS_DENIED", "renew"),
    ],
)
def test_what_is_refused_for_good_is_asked_once(
    server: HostileS3, objects: Change, status: str, code: str, reason: str, hint: str
) -> None:
    server.answer = _status(status, code)
    failed = failure(objects())
    assert failed.reason == reason and failed.detail.startswith("s3://b/k: ") and hint in failed.detail
    assert len(server.heads) == 1


def test_no_credentials(server: HostileS3, objects: Change, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    keyless = {"s3_access_key": None, "s3_secret_key": None}
    failed = failure(objects(**keyless))
    assert failed.reason is ItemReason.ACCESS_DENIED and "MASKWORKS_S3_UNSIGNED" in failed.detail
    assert server.heads == []
    assert objects(**keyless, s3_unsigned=True).open("s3://b/k").read() == b"x"
    assert "authorization" not in server.heads[0].lower()


@pytest.mark.parametrize("uri", ["s3://b/", "s3://b/k", "s3://c/k"])
def test_a_bucket_that_is_not_allowed_is_not_asked(server: HostileS3, objects: Change, uri: str) -> None:
    assert failure(objects(buckets=("a",)), uri).reason is ItemReason.BUCKET_NOT_ALLOWED
    assert server.heads == []


@pytest.mark.parametrize("uri", ["s3://b/", "s3://no bucket/k"])
def test_a_name_that_no_object_has(server: HostileS3, objects: Change, uri: str) -> None:
    assert failure(objects(buckets=("*",)), uri).reason is ItemReason.OBJECT_NOT_FOUND
    assert server.heads == []


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
@pytest.mark.parametrize("code", ["PermanentRedirect", "TemporaryRedirect"])
def test_a_redirect_is_never_followed(
    server: HostileS3, objects: Change, status: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.001)
    with hostile_s3.hostile_s3() as elsewhere:
        headers = f"Location: {elsewhere.url}/b/k", "x-amz-bucket-region: eu-west-1"
        server.answer = lambda connection, _: send_error(connection, status, code, *headers)
        assert failure(objects()).reason is ItemReason.STORAGE_UNAVAILABLE
        assert elsewhere.heads == []


def test_an_ended_reading_gives_up_in_the_middle_of_a_body(server: HostileS3, objects: Change) -> None:
    server.answer = hostile_s3.drip
    one = objects().open("s3://b/k")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(one.read)
        while not server.heads:
            time.sleep(0.01)
        time.sleep(0.3)
        assert not result.done()
        one.end()
        with pytest.raises(GivenUp):
            result.result(timeout=5)


def test_a_reading_ended_before_its_answer_takes_no_notice_of_it(server: HostileS3, objects: Change) -> None:
    answering = threading.Event()

    def late(connection: socket.socket, _head: str) -> None:
        answering.wait(20)
        send(connection, b"12345")

    server.answer = late
    one = objects().open("s3://b/k")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(one.read)
        while not server.heads:
            time.sleep(0.01)
        one.end()
        answering.set()
        with pytest.raises(GivenUp):
            result.result(timeout=5)


def test_the_deadline_is_for_the_whole_object(server: HostileS3, objects: Change) -> None:
    server.answer = hostile_s3.drip
    one = objects(fetch_seconds=0.5).open("s3://b/k")
    assert not one.overdue()
    time.sleep(0.6)
    assert one.overdue()
    with pytest.raises(ItemFailed, match=r"TIMEOUT: s3://b/k: not read within 0.5 s \(MASKWORKS_FETCH_SECONDS\)"):
        one.read()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("503 Slow Down", "SlowDown"),
        ("429 Too Many Requests", "Whatever"),
        ("400 Bad Request", "RequestLimitExceeded"),
        ("503 Service Unavailable", "RequestLimitExceeded"),
        ("400 Bad Request", "ThrottlingException"),
    ],
)
def test_throttling_takes_no_tries(server: HostileS3, objects: Change, status: str, code: str) -> None:
    server.answer = lambda connection, _: (
        send_error(connection, status, code) if len(server.heads) < 4 else send(connection, b"12345")
    )
    assert objects(fetch_seconds=0.5).open("s3://b/k").read() == b"12345"
    assert len(server.heads) == 4


def test_a_bucket_that_throttles_is_asked_less(server: HostileS3, objects: Change) -> None:
    """Forty readers during two seconds of throttling; each gets its object, and the bucket is spared meanwhile."""
    until = time.monotonic() + 2
    server.answer = lambda connection, _: (
        send_error(connection, "503 Slow Down", "SlowDown") if time.monotonic() < until else send(connection, b"1")
    )
    shared = objects()
    with ThreadPoolExecutor(40) as pool:
        read = [pool.submit(shared.open(f"s3://b/{i}").read) for i in range(40)]
        assert [one.result(timeout=60) for one in read] == [b"1"] * 40
    assert len(server.heads) < 40 * 10


def test_a_bucket_that_throttles_holds_up_no_other(server: HostileS3, objects: Change) -> None:
    server.answer = lambda connection, head: (
        send_error(connection, "503 Slow Down", "SlowDown") if "/b/" in head else send(connection, b"1")
    )
    shared = objects(buckets=("b", "c"))
    stuck = shared.open("s3://b/k")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stuck.read)
        while server.asked("/b/") < 3:
            time.sleep(0.01)
        assert shared.open("s3://c/k").read() == b"1" and not waiting.done()
        stuck.end()
        with pytest.raises(GivenUp):
            waiting.result(timeout=3)


def test_an_item_is_given_back_when_its_bucket_throttles_for_long(server: HostileS3, objects: Change) -> None:
    server.answer = _status("503 Slow Down", "SlowDown")
    with pytest.raises(GivenUp):
        objects(chunk_seconds=0.5).open("s3://b/k").read()


def test_a_bucket_that_throttles_for_ever_fails_its_items(server: HostileS3, objects: Change) -> None:
    server.answer = _status("503 Slow Down", "SlowDown")
    failed = failure(objects(throttle_seconds=0.5))
    assert failed.reason is ItemReason.STORAGE_UNAVAILABLE and "MASKWORKS_THROTTLE_SECONDS" in failed.detail


@pytest.mark.parametrize("key", ["a.jpg", "b c/d+e.jpg", "ü/漢字 100%.jpg", "q?x=1&y=#z.jpg", "~a-b_c.d/=(1).jpg"])
def test_names_of_all_kinds(bucket: Bucket, settings: Settings, key: str) -> None:
    uri = bucket.put(key, key.encode() * 3)
    assert Objects(s3_client(settings), settings).open(uri).read() == key.encode() * 3


def test_a_version_in_a_store_without_versions(bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("a.jpg", b"12345")
    assert Objects(s3_client(settings), settings).open(f"{uri}?versionId=null").read() == b"12345"
    assert failure(Objects(s3_client(settings), settings), f"{uri}?versionId=7").reason is ItemReason.OBJECT_NOT_FOUND


def test_a_wrong_secret(bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("a.jpg", b"12345")
    wrong = settings.model_copy(update={"s3_secret_key": "wrong-" * 4})
    assert failure(Objects(s3_client(wrong), wrong), uri).reason is ItemReason.ACCESS_DENIED


def test_one_client_serves_many_threads(bucket: Bucket, settings: Settings) -> None:
    uris = [bucket.put(f"{i}.bin", str(i).encode() * 1000) for i in range(20)]
    shared = Objects(s3_client(settings), settings)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            read = list(pool.map(lambda uri: shared.open(uri).read(), uris))
            assert read == [str(i).encode() * 1000 for i in range(20)]
