"""API keys: `mw_<prefix>_<secret>`. The database holds the prefix and HMAC-SHA256(pepper, secret), never the secret.

A secret has 256 random bits, so a slow hash would protect nothing.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ApiKey:
    """A key as its holder knows it. `repr` keeps the secret out of logs."""

    prefix: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"mw_{self.prefix}_{self.secret}"


def new_key() -> ApiKey:
    """48 random bits to look it up by, 256 to prove it with."""
    return ApiKey(prefix=secrets.token_hex(6), secret=secrets.token_urlsafe(32))


def read_key(text: str) -> ApiKey | None:
    """The key behind `mw_…_…`, or None where the text cannot be one."""
    scheme, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    printable = prefix.isascii() and prefix.isalnum() and secret.isascii() and secret.isprintable()
    return ApiKey(prefix, secret) if scheme == "mw" and prefix and secret and printable else None


def digest(pepper: str, secret: str) -> bytes:
    """What is stored of a secret: 32 bytes."""
    return hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).digest()


def verified(pepper: str, key: ApiKey, stored: bytes) -> bool:
    """Whether `key` has the stored digest, in constant time."""
    return hmac.compare_digest(digest(pepper, key.secret), stored)
