# Made from maskworks/aio/webhook_secrets.py by `python -m tools.documents`. Change that file.
"""The secrets that webhooks are signed with."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from maskworks.sync.transport import Call, Transport
from maskworks.webhooks import WebhookSecret


class _Secrets(Struct, frozen=True):
    secrets: list[WebhookSecret]


class WebhookSecrets:
    """`client.webhook_secrets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self) -> WebhookSecret:
        """A new one. It is shown here alone. Earlier ones stay valid for a day."""
        return self._transport.read(Call("POST", "/v1/webhook-secrets"), WebhookSecret)

    def list(self) -> Sequence[WebhookSecret]:
        """The valid ones, newest first, without the secrets themselves."""
        return (self._transport.read(Call("GET", "/v1/webhook-secrets"), _Secrets)).secrets
