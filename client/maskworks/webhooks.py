"""Answers about webhooks, as frozen records."""

from datetime import datetime

from msgspec import Struct


class WebhookTry(Struct, frozen=True):
    """One try of a delivery. `status` is None where the receiver did not answer."""

    number: int
    time: datetime
    status: int | None
    error: str | None
    duration_ms: int


class WebhookDelivery(Struct, frozen=True):
    """The webhook of a job, and its last tries, the newest first."""

    url: str
    events: list[str]
    state: str
    next_try_time: datetime | None
    tries: list[WebhookTry]


class WebhookSecret(Struct, frozen=True):
    """What deliveries are signed with. `secret` is there only when it was just made."""

    id: int
    secret: str | None
    create_time: datetime
    expire_time: datetime | None
