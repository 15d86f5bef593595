from typing import Any

import pytest
from sqlalchemy import event

from api import auth
from db.keys import new_key, revoke_key
from tests.api.conftest import Service, body, serving, settings

pytestmark = pytest.mark.anyio


def wrong_secret(key: str) -> str:
    return key[:-1] + ("A" if key[-1] != "A" else "B")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer mw_x", "Bearer x", "mw_a_b"])
async def test_no_usable_key(service: Service, header: str | None) -> None:
    async with serving(settings(service.database)) as client:
        answer = await client.get("/v1/jobs", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["reason"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_key(service: Service) -> None:
    for key in (str(new_key()), wrong_secret(service.key), service.key + "x"):
        answer = await service.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401


async def test_every_route_under_v1_asks_for_a_key(service: Service) -> None:
    async with serving(settings(service.database)) as client:
        paths: dict[str, dict[str, Any]] = (await client.get("/openapi.json")).json()["paths"]
        asked = [
            (method, path, (await client.request(method, path.format(job_id="job_x", item_id="0"))).status_code)
            for path, methods in paths.items()
            for method in methods
            if path.startswith("/v1")
        ]
    assert len(asked) >= 10
    assert {status for _, _, status in asked} == {401}, asked


async def test_a_refused_submit_stores_nothing(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json=body(1), headers={"Authorization": "Bearer mw_a_b"})
    assert answer.status_code == 401
    assert (await service.client.get("/v1/jobs")).json() == {"jobs": []}


async def test_a_revoked_key_works_for_seconds_at_most(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await service.client.get("/v1/jobs")).status_code == 200
    with service.engine.begin() as connection:
        connection.execute(revoke_key(service.key.split("_")[1])).one()
    now = auth.time.monotonic()
    monkeypatch.setattr(auth.time, "monotonic", lambda: now + 5.1)
    assert (await service.client.get("/v1/jobs")).status_code == 401


async def test_a_known_key_is_looked_up_once(service: Service) -> None:
    app: Any = service.client._transport.app  # type: ignore[attr-defined]
    statements: list[str] = []
    event.listen(app.state.engine.sync_engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    for _ in range(5):
        assert (await service.client.get("/v1/jobs")).status_code == 200
    assert sum("api_keys" in s for s in statements) == 1
