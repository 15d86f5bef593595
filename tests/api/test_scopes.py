"""Every route asks for the scope of the table, and never shows another tenant's job."""

from typing import Any

import pytest

from api.main import create_app
from api.scopes import SCOPES
from db.api_key import new_key
from db.scopes import Scope
from db.statements.keys import insert_key
from tests.api.conftest import PEPPER, Service, body, new_tenant, result_row, settings, some_masks

pytestmark = pytest.mark.anyio
PATHS: dict[str, dict[str, Any]] = create_app(settings("postgresql+psycopg://nobody@127.0.0.1:1/none")).openapi()[
    "paths"
]
ROUTES = [(method.upper(), path) for path, methods in PATHS.items() for method in methods if path.startswith("/v1/")]
OF_A_JOB = [route for route in ROUTES if "{job_id}" in route[1]]
NO_JOB = "job_0198a3c2f0b47d21a5e94c0b6f3d8e17"


def key_with(service: Service, *scopes: Scope) -> dict[str, str]:
    key = new_key()
    with service.engine.begin() as connection:
        connection.execute(*insert_key(key, pepper=PEPPER, name="tests", tenant=service.tenant, scopes=scopes))
    return {"Authorization": f"Bearer {key}"}


def test_no_route_lacks_a_scope() -> None:
    assert set(ROUTES) - set(SCOPES) == set()


async def test_a_call_needs_its_scope_and_no_other(service: Service) -> None:
    only = {scope: key_with(service, scope) for scope in Scope}
    rest = {scope: key_with(service, *(set(Scope) - {scope})) for scope in Scope}
    for method, path in ROUTES:
        values = {"item_id": "0", "model": "null", "revision": "0", "annotation_id": "0" * 32, "name": "a.png"}
        scope, url = SCOPES[method, path], path.format(job_id=NO_JOB, **values)
        refused = await service.client.request(method, url, headers=rest[scope])
        assert (refused.status_code, refused.json()["reason"]) == (403, "SCOPE_MISSING"), (method, path)
        assert scope.value in refused.json()["detail"]
        assert (await service.client.request(method, url, headers=only[scope])).status_code != 403, (method, path)


async def test_a_refused_submit_stores_nothing(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json=body(1), headers=key_with(service, Scope.JOBS_READ))
    assert answer.status_code == 403
    assert (await service.client.get("/v1/jobs")).json() == {"jobs": []}


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
async def test_another_tenants_job_is_not_found(service: Service, method: str, path: str) -> None:
    """Every route of a job in the document, also those that are not written yet."""
    job = await service.submit(1)
    service.work(job["id"], lambda _: result_row(some_masks(1)), 1)
    _, other = new_tenant(service.engine)
    url = path.format(job_id=job["id"], item_id="0")
    answer = await service.client.request(method, url, headers={"Authorization": f"Bearer {other}"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "JOB_NOT_FOUND"), answer.text
    assert (await service.job(job["id"]))["state"] == "succeeded"


async def test_the_last_use_of_a_key_is_written_once_a_minute(service: Service) -> None:
    statements = service.client.statements()
    for _ in range(3):
        await service.client.get("/v1/jobs")
    await service.client.app.state.keys.close()
    assert sum("UPDATE api_keys" in statement for statement in statements) == 1
