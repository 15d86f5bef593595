"""The process: what it imports, its settings, health, models, its OpenAPI document, and uvicorn over it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from api.main import create_app
from api.settings import Settings
from db.migrate import head_revision
from tests.api.conftest import PEPPER, Service, body, new_tenant, serving, settings
from tests.api.processes import process, wait_ready

pytestmark = pytest.mark.anyio


def test_the_front_door_knows_no_torch_and_no_broker() -> None:
    script = "import sys, api.main; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert "fastapi" in loaded
    assert not loaded & {"torch", "celery", "kombu", "workers", "deploy", "boto3"}


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWORKS_DATABASE_URL", "postgresql+psycopg://u:p@h/d")
    monkeypatch.setenv("MASKWORKS_KEY_PEPPER", "x")
    monkeypatch.setenv("MASKWORKS_MODELS", "sam_vit_b, sam_tiny")
    monkeypatch.setenv("MASKWORKS_POOL_SIZE", "3")
    read = Settings()
    assert (read.models, read.default_model, read.pool_size) == (("sam_vit_b", "sam_tiny"), "sam_vit_b", 3)
    assert "p@h" not in repr(read) and "'x'" not in repr(read)
    with pytest.raises(ValidationError):
        read.pool_size = 4  # type: ignore[misc]
    monkeypatch.delenv("MASKWORKS_KEY_PEPPER")
    with pytest.raises(SystemExit, match="78"):
        create_app()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


async def test_health(service: Service) -> None:
    async with serving(settings(service.database)) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready", "revision": head_revision()}


async def test_a_newer_database_is_ready(new_database: Callable[[], str]) -> None:
    """The next release has migrated it: pods of this one serve until they are replaced."""
    from sqlalchemy import create_engine

    url, newer = new_database(), f"{int(head_revision()) + 1:04}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": newer})
    engine.dispose()
    async with serving(settings(url)) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "revision": newer})


async def test_an_old_database_is_not_ready(new_database: Callable[[], str]) -> None:
    from sqlalchemy import create_engine

    url = new_database()
    async with serving(settings(url)) as client:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        old = await client.get("/readyz")
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
        bare = await client.get("/readyz")
        engine.dispose()
    for answer in (old, bare):
        assert (answer.status_code, answer.json()["reason"]) == (503, "NOT_READY")
        assert "db.migrate" in answer.json()["detail"]


async def test_the_document_reads_well(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    operations = {(m, p): o for p, methods in document["paths"].items() for m, o in methods.items()}
    assert ("post", "/v1/jobs/{job_id}:cancel") in operations
    assert all(o["summary"] and o["tags"] and o["description"] for o in operations.values())
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert named <= set(document["components"]["schemas"])
    assert {"JobRequest", "Automatic", "Prompt", "ProblemBody"} <= named | {"JobRequest"}
    submit = operations["post", "/v1/jobs"]["requestBody"]["content"]["application/json"]
    for example in submit["examples"].values():
        assert (await service.client.post("/v1/jobs", json=example["value"])).status_code == 202
    assert (await service.client.get("/docs")).status_code == 200


@pytest.mark.parametrize(
    "words", [("uvicorn", "--factory", "api.main:create_app"), ("api.server",)], ids=lambda w: w[0]
)
def test_as_a_process(module_database: str, engine: Any, words: tuple[str, ...]) -> None:
    _, key = new_tenant(engine)
    environment = {
        "MASKWORKS_DATABASE_URL": module_database,
        "MASKWORKS_KEY_PEPPER": PEPPER,
        "MASKWORKS_REDIS_URL": "redis://127.0.0.1:1/0",  # nobody there: a submit never needs it
    }
    headers = {"Authorization": f"Bearer {key}"}
    with process(environment, *words) as url, httpx.Client(base_url=url, headers=headers) as client:
        wait_ready(client)
        job = client.post("/v1/jobs", json=body(10_000))
        assert job.status_code == 202
        with client.stream("GET", f"/v1/jobs/{job.json()['id']}/results") as stream:
            assert stream.status_code == 200
        assert client.post(f"/v1/jobs/{job.json()['id']}:cancel").json()["counts"]["cancelled"] == 10_000
        lines = client.get(f"/v1/jobs/{job.json()['id']}/results").text.splitlines()
        assert len(lines) == 10_001
        assert client.delete(f"/v1/jobs/{job.json()['id']}").status_code == 204
