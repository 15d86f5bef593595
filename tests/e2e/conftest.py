"""The whole service as processes, with the real small model, once for all that ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack
from tests.api.document import check_answer
from tests.conftest import Bucket
from tests.folders import new_folder
from tests.model.hub import networks
from tests.receiver import Receiver, receiving

MAX_PIXELS = 700_000


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """What the service sends to its OpenTelemetry collector."""
    with receiving(Receiver()) as running:
        yield running


@pytest.fixture(scope="session")
def networks_of_transformers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Small random networks of each family, by the name that jobs give them, and the folders where they are saved."""
    folder = tmp_path_factory.mktemp("hub")
    return {f"hf:test/{each}": (networks.save(each, folder / each), folder / each) for each in networks.SERVED}


@pytest.fixture(scope="session")
def service(collector: Receiver, networks_of_transformers: dict[str, tuple[Any, Path]]) -> Iterator[Stack]:
    env = {
        "MASKWORKS_CHECKPOINTS": ",".join(f"{name}={at}" for name, (_, at) in networks_of_transformers.items()),
        "MASKWORKS_LEASE_SECONDS": "3",
        "MASKWORKS_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
        "MASKWORKS_METRICS_PORT": "0",
        "MASKWORKS_LOG_FORMAT": "json",
        "MASKWORKS_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/hook"),
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    models = ",".join(("sam_tiny", *networks_of_transformers))
    with new_folder("maskworks-e2e-") as folder, stack(folder / "data", models=models, fast=True, env=env) as running:
        yield running


@pytest.fixture(scope="session")
def document(service: Stack) -> dict[str, Any]:
    with service.client() as client:
        served: dict[str, Any] = client.get("/openapi.json").json()
    return served


@pytest.fixture
def http(service: Stack, document: dict[str, Any]) -> Iterator[httpx.Client]:
    """Every answer is held against the document that the service serves."""

    def check(answer: httpx.Response) -> None:
        answer.read()
        check_answer(document, answer)

    with service.client(timeout=90) as client:
        client.event_hooks = {"response": [check]}
        yield client


@pytest.fixture(scope="session")
def pictures(service: Stack) -> Bucket:
    s3 = service.stores.s3
    return Bucket(service.bucket, s3_client(s3.endpoint_url, s3.access_key, s3.secret_key))
