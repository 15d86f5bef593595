"""`https://host/path` as a client may name it: read in one place, so that every process means the same target.

Only the form is checked here. `workers.outbound` looks at the addresses when it connects.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from db.object_uri import UriError

_MAX_BYTES: Final = 2048
_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_HOST: Final = "must have a host: a name such as hooks.example.com, or an IP address in its usual form"
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True)
class WebUrl:
    """A target. `path` begins with a slash and has the query; `host` is a name, or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def web_url(text: str, *, private: bool = False, most: int = _MAX_BYTES) -> WebUrl:
    """The parts of a URL. With `private`, `http://` and names without a dot are accepted too. Raises UriError."""
    if not _PRINTABLE.fullmatch(text) or len(text) > most or "\\" in text:
        raise UriError(f"must be at most {most} printable ASCII characters, without spaces and backslashes")
    schemes = ("https", "http") if private else ("https",)
    try:
        parts = urlsplit(text)
    except ValueError as error:  # brackets around something that is no address
        raise UriError(_HOST) from error
    if parts.scheme not in schemes or not text.startswith(f"{parts.scheme}://"):
        raise UriError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "@" in parts.netloc:
        raise UriError("must not have a user or a password")
    if parts.fragment or text.endswith("#"):
        raise UriError("must not have a fragment")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebUrl(parts.scheme, _host(parts.netloc, private), _port(parts.scheme, text), path)


def _host(netloc: str, private: bool) -> str:
    """Forms that some resolvers read as an address, such as 127.1, 0x7f.1 or 2130706433, are no names here."""
    host = netloc.rpartition("]")[0].removeprefix("[") if netloc.startswith("[") else netloc.partition(":")[0].lower()
    if "%" in host:  # a zone, which is a network card of this machine
        raise UriError(_HOST)
    try:
        return str(ipaddress.IPv6Address(host) if netloc.startswith("[") else ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if netloc.startswith("[") or not _NAME.fullmatch(host) or ("." not in host and not private):
        raise UriError(_HOST)
    return host


def _port(scheme: str, text: str) -> int:
    try:
        port = urlsplit(text).port
    except ValueError:
        port = 0
    if port is None:
        return _PORTS[scheme]
    if port != _PORTS[scheme] and not 1024 <= port <= 65535:
        raise UriError(f"must have the port {_PORTS[scheme]}, or one from 1024 to 65535")
    return port
