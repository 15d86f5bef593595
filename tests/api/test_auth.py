"""Keys: which are taken, for how long, and what guessing them costs."""

import re
import time
from typing import Any

import pytest

from api.refusals import TooManyWrongKeys
from api.wrong_keys import Brake
from db.api_key import new_key
from db.statements.keys import revoke_key
from tests.api.conftest import Service, body, new_tenant, serving, settings

pytestmark = pytest.mark.anyio
MONOTONIC = time.monotonic


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
            (method, path, (await client.request(method, re.sub(r"\{\w+\}", "0" * 32, path))).status_code)
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
        connection.execute(*revoke_key(service.key.split("_")[1])).one()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.1)
    assert (await service.client.get("/v1/jobs")).status_code == 401


async def test_a_known_key_is_looked_up_once(service: Service) -> None:
    statements = service.client.statements()
    for _ in range(5):
        assert (await service.client.get("/v1/jobs")).status_code == 200
    assert sum("FROM api_keys" in s for s in statements) == 1


async def test_wrong_keys_are_braked_and_good_ones_are_not(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that has worked works on through a flood from its own address; one at its first use waits a minute."""
    _, unused = new_tenant(service.engine)
    async with serving(settings(service.database, wrong_keys_per_minute=3), service.key) as client:
        statements = client.statements()
        assert (await client.get("/v1/models")).status_code == 200
        answers = [await client.get("/v1/models", headers=bearer(str(new_key()))) for _ in range(20)]
        assert [a.status_code for a in answers] == [401] * 3 + [429] * 17
        assert answers[-1].json()["reason"] == "TOO_MANY_WRONG_KEYS" and int(answers[-1].headers["retry-after"]) > 0
        assert sum("FROM api_keys" in s for s in statements) == 4
        assert (await client.get("/v1/models", headers=bearer(unused))).status_code == 429
        later(6, monkeypatch)  # the good key is no longer remembered as such, and is looked up again
        assert (await client.get("/v1/models")).status_code == 200
        later(61, monkeypatch)
        assert (await client.get("/v1/models", headers=bearer(unused))).status_code == 200


async def test_a_revoked_key_is_braked_like_any_other(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(settings(service.database, wrong_keys_per_minute=2), service.key) as client:
        assert (await client.get("/v1/models")).status_code == 200
        with service.engine.begin() as connection:
            connection.execute(*revoke_key(service.key.split("_")[1])).one()
        later(6, monkeypatch)
        assert [(await client.get("/v1/models")).status_code for _ in range(4)] == [401, 401, 429, 429]


def test_the_brake_counts_addresses_apart_and_forgets_the_oldest() -> None:
    held = Brake(per_minute=1, addresses=2)
    held.count("192.0.2.1")
    held.count("2001:db8::1")
    held.check("192.0.2.2")
    for address in ("192.0.2.1", "2001:db8::ffff"):  # of one /64
        with pytest.raises(TooManyWrongKeys):
            held.check(address)
    held.count("")
    held.check("192.0.2.1")
    with pytest.raises(TooManyWrongKeys):
        held.check("2001:db8::2")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: MONOTONIC() + seconds)
