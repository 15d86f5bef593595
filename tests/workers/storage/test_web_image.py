"""Images over https from a server that misbehaves, by the real client, to addresses that are checked."""

import logging
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.states import ItemReason
from tests.workers import hostile_s3
from tests.workers.hostile_s3 import HostileS3, send, send_chunked
from workers.failures import ItemFailed
from workers.storage import reading
from workers.storage.reading import Objects

Change = Callable[..., Objects]
SECRET = "X-Amz-Signature=5ec2e7"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for `localhost`, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    keys = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *keys], check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return folder / "both.pem"


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileS3]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.001)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with hostile_s3.hostile_s3(context) as running:
        yield running


def port(server: HostileS3) -> str:
    return server.url.rsplit(":", 1)[1]


@pytest.fixture
def objects(server: HostileS3) -> Change:
    def make(**changes: object) -> Objects:
        allowed = {"https_images": (f"localhost:{port(server)}",), "private_targets": True}
        changed = hostile_s3.reading_from(server, **{"max_image_bytes": 5000} | allowed | changes)
        return Objects(None, changed)

    return make


@pytest.fixture
def uri(server: HostileS3) -> str:
    return f"https://localhost:{port(server)}/a/b%20c.jpg?id=7&{SECRET}"


def failure(objects: Objects, uri: str) -> ItemFailed:
    with pytest.raises(ItemFailed) as caught:
        objects.open(uri).read()
    assert SECRET not in caught.value.detail and "127.0.0.1" not in caught.value.detail
    return caught.value


def test_an_image_is_read_as_it_was_named(server: HostileS3, objects: Change, uri: str) -> None:
    server.answer = lambda connection, _: send(connection, b"12345", 'ETag: "1"')
    one = objects().open(uri)
    assert one.read() == b"12345" and one.tag == 'etag "1"'
    (head,) = server.heads
    assert head.startswith(f"GET /a/b%20c.jpg?id=7&{SECRET} HTTP/1.1\r\n") and f"Host: localhost:{port(server)}" in head
    assert "cookie" not in head.lower() and "authorization" not in head.lower()


def test_an_image_that_is_known_is_not_read(server: HostileS3, objects: Change, uri: str) -> None:
    server.answer = lambda connection, _: send(connection, b"", 'ETag: "1"', length=4000)
    assert objects().open(uri).read({'etag "1"'}.__contains__) is None
    server.answer = lambda connection, _: send(connection, b"12345", 'ETag: W/"1"')
    weak = objects().open(uri)
    assert weak.read(lambda _: True) == b"12345" and weak.tag is None


def test_parts_of_an_image_are_of_one_state_of_it(server: HostileS3, objects: Change, uri: str) -> None:
    """By ETag, or else by the time of its change. The page is not asked of the server."""
    told = ['ETag: "1"', "Content-Range: bytes 0-4/9"]
    server.answer = lambda connection, _: send(connection, b"12345", *told, status="206 Partial Content")
    parts = objects().parts(f"{uri}#page=2")
    assert parts(0, 5, None) == (b"12345", 9, 'etag "1"') == parts(0, 5, 'etag "1"')
    assert "Range: bytes=0-4" in server.heads[0] and SECRET + " HTTP" in server.heads[0]
    for changed, why in (
        (['ETag: "2"', told[1]], "changed while it was read"),
        (["Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT", told[1]], "changed while it was read"),
        ([told[1]], "neither ETag nor Last-Modified"),
        ([told[0]], "does not answer range requests"),
    ):
        told[:] = changed
        with pytest.raises(ItemFailed, match=why):
            parts(0, 5, 'etag "1"')


@pytest.mark.parametrize(
    ("status", "reason", "requests"),
    [
        ("404 Not Found", "OBJECT_NOT_FOUND", 1),
        ("410 Gone", "OBJECT_NOT_FOUND", 1),
        ("400 Bad Request", "OBJECT_NOT_FOUND", 1),
        ("204 No Content", "OBJECT_NOT_FOUND", 1),
        ("206 Partial Content", "OBJECT_NOT_FOUND", 1),
        ("401 Unauthorized", "ACCESS_DENIED", 1),
        ("403 Forbidden", "ACCESS_DENIED", 1),
        ("500 Internal Server Error", "STORAGE_UNAVAILABLE", 5),
        ("503 Service Unavailable", "STORAGE_UNAVAILABLE", 5),
        ("408 Request Timeout", "STORAGE_UNAVAILABLE", 5),
    ],
)
def test_each_status_has_its_reason(
    server: HostileS3, objects: Change, uri: str, status: str, reason: str, requests: int
) -> None:
    server.answer = lambda connection, _: send(connection, b"", status=status)
    failed = failure(objects(), uri)
    assert failed.reason == reason and status[:3] in failed.detail and "b%20c.jpg?…" in failed.detail
    assert len(server.heads) == requests


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_never_followed(server: HostileS3, objects: Change, uri: str, status: str) -> None:
    with hostile_s3.hostile_s3() as elsewhere:
        server.answer = lambda connection, _: send(connection, b"", f"Location: {elsewhere.url}/a", status=status)
        failed = failure(objects(), uri)
        assert failed.reason is ItemReason.OBJECT_NOT_FOUND and "redirects are not followed" in failed.detail
        assert elsewhere.heads == [] and len(server.heads) == 1


@pytest.mark.parametrize("extra", [(), ("Retry-After: 1",)], ids=["429", "503"])
def test_throttling_takes_no_tries(server: HostileS3, objects: Change, uri: str, extra: tuple[str, ...]) -> None:
    status = "503 Busy" if extra else "429 Too Many Requests"
    server.answer = lambda connection, _: (
        send(connection, b"", *extra, status=status) if len(server.heads) < 3 else send(connection, b"12345")
    )
    assert objects().open(uri).read() == b"12345" and len(server.heads) == 3


@pytest.mark.parametrize("length", [True, False])
def test_the_cap_holds(server: HostileS3, objects: Change, uri: str, length: bool) -> None:
    server.answer = lambda connection, _: (
        send(connection, b"", length=5001) if length else send_chunked(connection, b"x" * 100_000)
    )
    assert failure(objects(), uri).reason is ItemReason.IMAGE_TOO_LARGE


def test_a_compressed_answer_is_not_unpacked(server: HostileS3, objects: Change, uri: str) -> None:
    server.answer = lambda connection, _: send(connection, b"\x1f\x8b12345", "Content-Encoding: gzip")
    assert objects().open(uri).read() == b"\x1f\x8b12345"


def test_short_answers_and_broken_connections_are_tried_again(server: HostileS3, objects: Change, uri: str) -> None:
    server.answer = lambda connection, _: (
        send(connection, b"1", length=5) if len(server.heads) < 3 else send(connection, b"12345")
    )
    assert objects().open(uri).read() == b"12345" and len(server.heads) == 3


def test_the_certificate_is_that_of_the_name(
    server: HostileS3, objects: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: real("localhost", *rest, **more))
    other = f"other.example.com:{port(server)}"
    failed = failure(objects(https_images=(other,)), f"https://{other}/a.jpg")
    assert failed.reason is ItemReason.STORAGE_UNAVAILABLE and "certificate" in failed.detail
    assert server.heads == []


def test_a_private_address_is_not_connected_to(server: HostileS3, objects: Change, uri: str) -> None:
    failed = failure(objects(private_targets=False), uri)
    assert failed.reason is ItemReason.HOST_NOT_ALLOWED and "private or reserved" in failed.detail
    assert server.heads == [] and server.open == 0


def test_the_address_that_was_checked_is_the_one_that_is_used(
    objects: Change, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to another address at each look gains nothing: there is one look."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *rest: object, **more: object) -> object:
        if host == "localhost":
            asked.append(host)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert objects().open(uri).read() == b"x" and asked == ["localhost"]


@pytest.mark.parametrize("allowed", [(), ("*",), ("localhost",), ("*.localhost",)])
def test_a_host_or_port_that_is_not_allowed_is_not_looked_up(
    server: HostileS3, objects: Change, uri: str, allowed: tuple[str, ...]
) -> None:
    failed = failure(objects(https_images=allowed), uri)
    assert failed.reason is ItemReason.HOST_NOT_ALLOWED and "MASKWORKS_HTTPS_IMAGES" in failed.detail
    assert server.heads == []


def test_a_host_that_there_is_not(objects: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    failed = failure(objects(https_images=("*",)), "https://nowhere.example.com/a.jpg")
    assert failed.reason is ItemReason.OBJECT_NOT_FOUND


def test_no_log_has_the_query(server: HostileS3, objects: Change, uri: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda connection, _: (
        send(connection, b"", status="500 Oops") if len(server.heads) < 3 else send(connection, b"12345")
    )
    assert objects().open(uri).read() == b"12345"
    assert "try 2 of 5" in caplog.text and SECRET not in caplog.text
