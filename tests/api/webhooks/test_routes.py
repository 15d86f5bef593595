"""Webhooks at the front door: secrets, what a submit takes, the log of deliveries, and sending again."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from db.statements import webhooks as sql
from db.states import WebhookState
from db.webhook_secret import secret_of, show_secret
from tests.api.conftest import PEPPER, Service, body, new_tenant, serving, settings

pytestmark = pytest.mark.anyio
HOOK = {"url": "https://hooks.example.com/maskworks"}


async def make_secret(service: Service) -> dict[str, Any]:
    answer = await service.client.post("/v1/webhook-secrets")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def ended(service: Service, webhook: dict[str, Any] | None = None) -> str:
    """A job that has been cancelled."""
    job = await service.submit(1, **({} if webhook is None else {"webhook": webhook}))
    await service.client.post(f"/v1/jobs/{job['id']}:cancel")
    return str(job["id"])


async def test_a_secret_is_shown_once(service: Service) -> None:
    made = await make_secret(service)
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    listed = (await service.client.get("/v1/webhook-secrets")).json()["secrets"]
    assert listed == [{**made, "secret": None}]
    with service.engine.connect() as connection:
        (row,) = connection.execute(*sql.valid_secrets(service.tenant))
    assert made["secret"] == show_secret(secret_of(PEPPER, row.seed))  # what the dispatcher makes of it too
    assert row.seed != secret_of(PEPPER, row.seed) != secret_of("another", row.seed)


async def test_the_earlier_secret_ends_a_day_later(service: Service) -> None:
    old, new = await make_secret(service), await make_secret(service)
    listed = (await service.client.get("/v1/webhook-secrets")).json()["secrets"]
    assert [entry["id"] for entry in listed] == [new["id"], old["id"]]
    assert listed[0]["expire_time"] is None and listed[1]["expire_time"] is not None
    with service.engine.begin() as connection:
        connection.execute(text("UPDATE webhook_secrets SET expires_at = clock_timestamp() WHERE id = :id"), old)
    listed = (await service.client.get("/v1/webhook-secrets")).json()["secrets"]
    assert [entry["id"] for entry in listed] == [new["id"]]


async def test_a_submit_with_a_webhook(service: Service) -> None:
    await make_secret(service)
    job = await service.submit(1, webhook={**HOOK, "events": ["job.failed", "job.succeeded"]})
    shown = (await service.client.get(f"/v1/jobs/{job['id']}/webhook")).json()
    assert shown == {
        "url": HOOK["url"],
        "events": ["job.failed", "job.succeeded"],
        "state": "pending",
        "next_try_time": None,
        "tries": [],
    }


async def test_a_webhook_needs_a_secret(service: Service) -> None:
    for more, status in (({}, 422), ({"validate_only": True}, 200)):
        answer = await service.client.post("/v1/jobs", json={**body(1), "webhook": HOOK, **more})
        assert answer.status_code == status
        assert answer.json()["errors"][0]["pointer"] == "/webhook"
        assert "POST /v1/webhook-secrets" in answer.json()["errors"][0]["detail"]
    assert (await service.client.get("/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    ("webhook", "pointer"),
    [
        ({}, "/webhook/url"),
        ({"url": "http://hooks.example.com/"}, "/webhook/url"),
        ({"url": "https://localhost/"}, "/webhook/url"),
        ({"url": "https://127.1/"}, "/webhook/url"),
        ({"url": "https://user:pass@example.com/"}, "/webhook/url"),
        ({"url": "x" * 2049}, "/webhook/url"),
        ({**HOOK, "events": []}, "/webhook/events"),
        ({**HOOK, "events": ["job.done"]}, "/webhook/events/0"),
        ({**HOOK, "events": ["job.failed", "job.failed"]}, "/webhook/events"),
        ({**HOOK, "secret": "x"}, "/webhook/secret"),
    ],
)
async def test_a_wrong_webhook_names_the_field(service: Service, webhook: dict[str, Any], pointer: str) -> None:
    answer = await service.client.post("/v1/jobs", json={**body(1), "webhook": webhook})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_private_targets_where_the_setting_allows_them(service: Service) -> None:
    async with serving(settings(service.database, private_targets=True), service.key) as client:
        await client.post("/v1/webhook-secrets")
        answer = await client.post("/v1/jobs", json={**body(1), "webhook": {"url": "http://hooks:8080/x"}})
        assert answer.status_code == 202, answer.text


async def test_the_log_and_sending_again(service: Service) -> None:
    await make_secret(service)
    job = await ended(service, HOOK)
    pending = await service.client.post(f"/v1/jobs/{job}/webhook:redeliver")
    assert (pending.status_code, pending.json()["reason"]) == (409, "WEBHOOK_PENDING")
    with service.engine.begin() as connection:
        (held,) = [
            row
            for row in connection.execute(*sql.claim(most=100, of_tenant=100, lease_seconds=60))
            if row.tenant_id == service.tenant
        ]
        failed = sql.record(held.job_id, held.fence, state=WebhookState.FAILED, status=500, error=None, ms=12, wait=0.0)
        assert connection.execute(*failed).first() is not None
    shown = (await service.client.get(f"/v1/jobs/{job}/webhook")).json()
    (tried,) = shown["tries"]
    assert (shown["state"], tried["number"], tried["status"], tried["duration_ms"]) == ("failed", 1, 500, 12)
    again = await service.client.post(f"/v1/jobs/{job}/webhook:redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")


async def test_a_try_whose_lease_was_lost_is_not_recorded(service: Service) -> None:
    await make_secret(service)
    await ended(service, HOOK)
    with service.engine.begin() as connection:
        first = connection.execute(*sql.claim(most=100, of_tenant=100, lease_seconds=0)).all()
        second = connection.execute(*sql.claim(most=100, of_tenant=100, lease_seconds=60)).all()
        late = next(row for row in first if row.tenant_id == service.tenant)
        assert late.job_id in {row.job_id for row in second}
        given: dict[str, Any] = {"state": WebhookState.DELIVERED, "status": 200, "error": None, "ms": 1, "wait": 0.0}
        assert connection.execute(*sql.record(late.job_id, late.fence, **given)).first() is None


async def test_a_job_without_a_webhook_and_another_tenants(service: Service) -> None:
    await make_secret(service)
    without, job = await ended(service), await ended(service, HOOK)
    _, key = new_tenant(service.engine)
    others: dict[str, str] = {"Authorization": f"Bearer {key}"}
    ask: list[Callable[..., Any]] = [
        lambda job, **more: service.client.get(f"/v1/jobs/{job}/webhook", **more),
        lambda job, **more: service.client.post(f"/v1/jobs/{job}/webhook:redeliver", **more),
    ]
    for call in ask:
        answer = await call(without)
        assert (answer.status_code, answer.json()["reason"]) == (404, "WEBHOOK_NOT_FOUND")
        answer = await call(job, headers=others)
        assert (answer.status_code, answer.json()["reason"]) == (404, "JOB_NOT_FOUND")
    assert (await service.client.get("/v1/webhook-secrets", headers=others)).json()["secrets"] == []
