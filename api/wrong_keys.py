"""A limit on guessing keys: after too many wrong ones in a minute, an address must wait before it tries a new key."""

import ipaddress
import math
import time
from collections import OrderedDict

from api.refusals import TooManyWrongKeys

_WINDOW_SECONDS = 60.0


class Brake:
    """Counts wrong keys by client address, in memory of a fixed size.

    If uvicorn does not trust a proxy's X-Forwarded-For (`FORWARDED_ALLOW_IPS`), all clients have the proxy's address.
    Even then only keys at their first use wait: a key that has worked is never braked.
    """

    def __init__(self, per_minute: int, addresses: int = 4096) -> None:
        """`addresses` are remembered at most; the oldest is forgotten first."""
        self._per_minute = per_minute
        self._addresses = addresses
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()  # address → end of the window, count

    def check(self, address: str) -> None:
        """Raises TooManyWrongKeys."""
        until, count = self._wrong.get(_network(address), (0.0, 0))
        left = until - time.monotonic()
        if count >= self._per_minute and left > 0:
            wait = math.ceil(left)
            said = f"this address sent {count} wrong keys in a minute: try a new key in {wait} s"
            raise TooManyWrongKeys(said, retry_after=wait)

    def count(self, address: str) -> None:
        """Count one more wrong key."""
        network, now = _network(address), time.monotonic()
        until, count = self._wrong.pop(network, (0.0, 0))
        self._wrong[network] = (until, count + 1) if until > now else (now + _WINDOW_SECONDS, 1)
        if len(self._wrong) > self._addresses:
            self._wrong.popitem(last=False)


def _network(address: str) -> str:
    """The address itself for IPv4. For IPv6 its /64, in which a client can use any address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
