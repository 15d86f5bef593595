"""What names an image on a web server, and what part of it is a secret."""

import pytest

from db.object_uri import UriError
from db.web_image import file_path, host_allowed, shown_image, unsigned, web_image


@pytest.mark.parametrize(
    "uri",
    [
        "http://images.example.com/a.jpg", "https://", "https:///a.jpg", "https://images.example.com",
        "https://images.example.com/", "https://user:pass@images.example.com/a.jpg", "https://user@images.example.com/a",
        "https://images.example.com/a.jpg#x", "https://images.example.com\\@127.0.0.1/a.jpg",
        "https://images.example.com/a b.jpg", "https://images.example.com/a\n.jpg", "https://images.example.com/ä.jpg",
        "https://images.example.com/../a.jpg", "https://images.example.com/%2e%2E/a",
        "https://127.0.0.1/a.jpg", "https://[::1]/a.jpg", "https://[::ffff:127.0.0.1]/a.jpg", "https://127.1/a.jpg",
        "https://2130706433/a.jpg", "https://0x7f000001/a.jpg", "https://0177.0.0.1/a.jpg", "https://0x7f.1/a.jpg",
        "https://169.254.169.254/latest/meta-data", "https://１２７.0.0.1/a.jpg", "https://a..b/a.jpg", "https://a.b./a",
        "https://-a.example.com/a.jpg", "https://images.example.com:0/a.jpg", "https://images.example.com:65536/a.jpg",
        "https://images.example.com:22/a.jpg", "https://images.example.com:443x/a.jpg", "https://images.example.com?a",
        "https://images.example.com/" + "a" * 4096, "https://" + "a" * 254 + "/a.jpg", "HTTPS://images.example.com/a.jpg",
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(uri: str) -> None:
    with pytest.raises(UriError):
        web_image(uri)


def test_the_query_is_a_secret() -> None:
    uri = "https://Images.Example.com/a/b%20c.jpg?id=7&X-Amz-Signature=5ec2e7&X-Amz-Expires=60"
    found = web_image(uri)
    assert (found.host, found.port) == ("images.example.com", 443)
    assert found.path == uri.removeprefix("https://Images.Example.com")
    assert shown_image(uri) == "https://images.example.com/a/b%20c.jpg?…" and file_path(uri) == "a/b%20c.jpg"
    assert unsigned(uri) == "https://images.example.com/a/b%20c.jpg?id=7"
    assert shown_image("https://images.example.com:8443/a.jpg") == "https://images.example.com:8443/a.jpg"
    assert shown_image("s3://bucket/a?b") == "s3://bucket/a?b"


@pytest.mark.parametrize(
    ("uri", "allowed", "expected"),
    [
        ("https://a.example.com/x", (), False),
        ("https://a.example.com/x", ("a.example.com",), True),
        ("https://a.example.com:443/x", ("a.example.com",), True),
        ("https://b.a.example.com/x", ("a.example.com",), False),
        ("https://b.a.example.com/x", ("*.example.com",), True),
        ("https://example.com/x", ("*.example.com",), False),
        ("https://evilexample.com/x", ("*.example.com",), False),
        ("https://a.example.com/x", ("*",), True),
        ("https://a.example.com:8443/x", ("*",), False),
        ("https://a.example.com:8443/x", ("a.example.com", "*.example.com"), False),
        ("https://a.example.com:8443/x", ("a.example.com:8443",), True),
        ("https://a.example.com:8443/x", ("*.example.com:8443",), True),
    ],
)
def test_hosts_and_ports_are_allowed_by_name(uri: str, allowed: tuple[str, ...], expected: bool) -> None:
    assert host_allowed(web_image(uri), allowed) is expected
