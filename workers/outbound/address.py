"""Which addresses a request on behalf of a client may go to.

A client chooses the URL, so without this check it could reach what only this machine can: other services, the cloud's
metadata. The host is resolved once. Every address is checked, and the connection goes to a checked one: a name that
resolves differently the second time gains nothing.
"""

import ipaddress
import socket
from typing import Final

from db.web_url import WebUrl

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_CLOUD: Final = {
    ipaddress.ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
}
"""Where clouds answer their own machines with metadata, beside link-local addresses. The first one looks public."""


class TargetRefused(Exception):
    """The target is not one that may be connected to. The text is for the client to read."""


class TargetUnknown(OSError):
    """The host has no address, or the resolver does not answer."""


def resolve(url: WebUrl, *, private: bool) -> Address:
    """The address to connect to. Raises TargetRefused unless every address of the host is allowed, TargetUnknown.

    `private` allows every address but link-local ones and those of a cloud's metadata.
    """
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetUnknown(f"{url.host} cannot be resolved") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if refused := next((address for address in addresses if not _allowed(address, private)), None):
        # Not the address: a client should not learn names of an inner network.
        kind = "link-local" if _embedded(refused).is_link_local else "private or reserved"
        raise TargetRefused(f"{url.host} has a {kind} address, which requests may not go to")
    return addresses[0]


def _allowed(address: Address, private: bool) -> bool:
    inner = _embedded(address)
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified or inner in _CLOUD:
        return False
    if private:
        return True
    return address.is_global and inner.is_global and not inner.is_reserved


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where a gateway or the kernel would connect to that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or _compatible(address)


def _compatible(address: ipaddress.IPv6Address) -> Address:
    """`::a.b.c.d`, which is deprecated; `::` and `::1` are what they are."""
    low = int(address)
    return ipaddress.IPv4Address(low) if 1 < low <= 0xFFFFFFFF else address
