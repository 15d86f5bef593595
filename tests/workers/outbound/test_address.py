"""Targets that a client may name, and those that are refused, by their form or by their addresses."""

import socket

import pytest

from db.object_uri import UriError
from db.web_url import WebUrl, web_url
from workers.outbound.address import TargetRefused, TargetUnknown, resolve


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://hooks.example.com", WebUrl("https", "hooks.example.com", 443, "/")),
        ("https://Hooks.Example.com/a?b=c", WebUrl("https", "hooks.example.com", 443, "/a?b=c")),
        ("https://example.com:8443/x/", WebUrl("https", "example.com", 8443, "/x/")),
        ("https://93.184.215.14/", WebUrl("https", "93.184.215.14", 443, "/")),
        ("https://[2606:2800:21f::1]:8443/", WebUrl("https", "2606:2800:21f::1", 8443, "/")),
    ],
)
def test_forms_that_are_read(text: str, parts: WebUrl) -> None:
    assert web_url(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("http://example.com/", "ftp://example.com/", "example.com", "//example.com", "https:/example.com", "HTTPS:"),
        *("https://", "https:///x", "https://.", "https://a..b/", "https://-a.com/", "https://exa_mple.com/"),
        *("https://127.1/", "https://0x7f.0.0.1/", "https://2130706433/", "https://017700000001/", "https://1.2.3/"),
        *("https://0x7f000001/", "https://127.0.0.1.:443/", "https://[::1", "https://[fe80::1%25eth0]/", "https://[]/"),
        *("https://user@example.com/", "https://user:pass@example.com/", "https://example.com#@127.0.0.1/"),
        *("https://example.com\\@127.0.0.1/", "https://example.com/ x", "https://exämple.com/", "https://a.b/\x00"),
        *("https://example.com:22/", "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/"),
        *("https://localhost/", "https://example.com/#x", f"https://example.com/{'x' * 2048}"),
    ],
)
def test_forms_that_are_refused(text: str) -> None:
    with pytest.raises(UriError):
        web_url(text)


def test_a_private_network_has_http_and_short_names() -> None:
    assert web_url("http://hooks:8080/a", private=True) == WebUrl("http", "hooks", 8080, "/a")
    with pytest.raises(UriError):
        web_url("http://127.1/", private=True)


REFUSED = (
    *("127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "192.0.2.1"),
    *("169.254.169.254", "169.254.170.23", "224.0.0.1", "240.0.0.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1"),
    *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("2001:0:53aa:64c::80ff:fffe", "fd00:ec2::254", "2001:db8::1", "168.63.129.16", "::ffff:168.63.129.16"),
)


def answer(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make every name resolve to these addresses."""
    found = [(0, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answer(monkeypatch, address)
    with pytest.raises(TargetRefused) as refused:
        resolve(web_url("https://hooks.example.com"), private=False)
    assert address not in str(refused.value)


@pytest.mark.parametrize("address", REFUSED)
def test_a_literal_address_is_refused_too(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetRefused):
        resolve(web_url(f"https://{literal}/"), private=False)


def test_one_bad_address_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "93.184.215.14", "127.0.0.1")
    with pytest.raises(TargetRefused):
        resolve(web_url("https://hooks.example.com"), private=False)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"])
def test_addresses_that_are_allowed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answer(monkeypatch, address)
    assert str(resolve(web_url("https://hooks.example.com"), private=False)) == address


def test_a_private_network_still_refuses_metadata_and_link_local_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "10.0.0.1")
    assert str(resolve(web_url("https://hooks.example.com"), private=True)) == "10.0.0.1"
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "100.100.100.200", "fd00:ec2::254"):
        answer(monkeypatch, address)
        with pytest.raises(TargetRefused):
            resolve(web_url("https://hooks.example.com"), private=True)


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_args: object, **_options: object) -> list[object]:
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(TargetUnknown, match=r"hooks\.example\.com"):
        resolve(web_url("https://hooks.example.com"), private=False)
