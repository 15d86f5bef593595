"""The `webhook` of a submitted job, and the answers about webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlalchemy import Row

from db.statements.webhooks import EVENTS
from db.states import WebhookState
from intake.fields import each_once


def _event(name: str) -> str:
    if name not in EVENTS:
        raise PydanticCustomError("event", "{why}", {"why": f"must be one of {', '.join(EVENTS)}"})
    return name


_EVENTS_SCHEMA = {"type": "array", "items": {"enum": list(EVENTS)}, "minItems": 1, "uniqueItems": True}
Events = Annotated[
    tuple[Annotated[str, AfterValidator(_event)], ...],
    AfterValidator(each_once("event")),
    WithJsonSchema(_EVENTS_SCHEMA),
]


class WebhookRequest(BaseModel):
    """Where to report the end of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2048, description="An `https://` URL", examples=["https://hooks.example.com/maskworks"])
    events: Events = Field(EVENTS, description="Final states to report; all of them by default")


class WebhookTry(BaseModel):
    """One try of a delivery."""

    number: int
    time: datetime
    status: int | None = Field(description="The receiver's status; null if it did not answer")
    error: str | None
    duration_ms: int


class WebhookDelivery(BaseModel):
    """The webhook of a job, and its last tries, the newest first."""

    url: str
    events: list[str]
    state: WebhookState
    next_try_time: datetime | None
    tries: list[WebhookTry]


class WebhookSecret(BaseModel):
    """A secret that deliveries are signed with. `secret` is shown once, when it is made."""

    id: int
    secret: str | None = Field(description="`whsec_…`; null in lists")
    create_time: datetime
    expire_time: datetime | None


class WebhookSecretList(BaseModel):
    secrets: list[WebhookSecret]


def delivery_view(row: Row[Any], tries: Sequence[Row[Any]]) -> WebhookDelivery:
    """Rows of `db.statements.webhooks.webhook` and `tries`."""
    return WebhookDelivery(
        url=row.url,
        events=row.events,
        state=row.state,
        next_try_time=row.run_after,
        tries=[
            WebhookTry(
                number=each.number,
                time=each.created_at,
                status=each.status,
                error=each.error,
                duration_ms=each.duration_ms,
            )
            for each in tries
        ],
    )
