"""Secrets that webhooks are signed with: `whsec_…`, as Standard Webhooks writes them.

The database holds a random seed. The secret is HMAC-SHA256(pepper, seed), so it is stored nowhere, and who reads the
database cannot sign.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

_USE: Final = b"webhook secret\0"
"""No digest of an API key is a secret of webhooks: a key has no such octets."""


def new_seed() -> bytes:
    return secrets.token_bytes(32)


def secret_of(pepper: str, seed: bytes) -> bytes:
    """What deliveries are signed with: 32 bytes."""
    return hmac.new(pepper.encode(), _USE + seed, hashlib.sha256).digest()


def show_secret(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()
