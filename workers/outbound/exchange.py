"""One HTTP request to a target that a client named, and its answer."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from db.web_url import WebUrl
from workers.outbound.address import resolve

NETWORK_ERRORS = (OSError, urllib3.exceptions.HTTPError)
"""What `exchange` and reading its answer raise where the network, TLS or the server fails."""


@dataclass(frozen=True)
class Patience:
    """Seconds: for a connection and its TLS handshake each, for each piece of the answer, and for all of it."""

    connect: float
    read: float
    whole: float


@contextmanager
def exchange(
    method: str,
    url: WebUrl,
    patience: Patience,
    *,
    private: bool,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Connect to the checked address, with the host's own name for TLS and the Host header.

    Redirects are answers like any other, and no proxy of the environment is used. The answer's body is not read: read
    as much of it as you need. Raises TargetRefused, and one of NETWORK_ERRORS.
    """
    connection = _connection(url, str(resolve(url, private=private)), patience)
    with closing(connection):
        connection.connect()
        # A server may send a byte now and then for ever, and each read would be in time. The socket is held here: the
        # connection forgets it where the server will close.
        held = connection.sock
        end = threading.Timer(patience.whole, _cut, [held])
        end.daemon = True
        end.start()
        try:
            held.settimeout(patience.read)
            sent = {"Host": url.authority, "Accept-Encoding": "identity", **(headers or {})}
            connection.request(method, url.path, body, sent, preload_content=False, decode_content=False)
            # Closed here: a connection that the server will close belongs to the answer.
            with closing(connection.getresponse()) as answer:
                yield answer
        finally:
            end.cancel()


def _connection(url: WebUrl, address: str, patience: Patience) -> HTTPConnection:
    if url.scheme == "http":
        return HTTPConnection(address, url.port, timeout=patience.connect)
    tls = _tls(os.environ.get("SSL_CERT_FILE"))
    return HTTPSConnection(address, url.port, timeout=patience.connect, ssl_context=tls, server_hostname=url.host)


@cache
def _tls(authorities: str | None) -> ssl.SSLContext:
    """For the certificates of this file, or of the system where there is none."""
    return ssl.create_default_context(cafile=authorities)


def _cut(held: socket.socket) -> None:
    with suppress(OSError):
        held.shutdown(socket.SHUT_RDWR)
