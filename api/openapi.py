"""The OpenAPI document: its head, and the schemas of bodies that FastAPI does not read itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from api.annotations.schemas import AnnotationsRequest
from api.http.problems import RATE_LIMIT_HEADERS, ProblemBody
from api.instant.schemas import EmbeddingRequest, SegmentRequest
from api.jobs.retry import RetryRequest
from api.jobs.schemas import JobRequest

TAGS = [
    {"name": "jobs", "description": "Segment many images by one request, in the background."},
    {"name": "results", "description": "Items, masks, and the download of all results."},
    {"name": "one image", "description": "One image now: its masks or its embedding, in the same call."},
    {"name": "annotations", "description": "Masks with who made them, and what became of them in review."},
    {"name": "models", "description": "Models that jobs may name, and which of them are loaded."},
    {"name": "health", "description": "Probes for the cluster."},
]
DESCRIPTION = """Submit a **job** over images in S3, watch its counts, stream its masks as COCO RLE.

Coordinates are xy pixels of the upright image, times are RFC 3339 in UTC, errors are `application/problem+json`
with a `reason` to branch on."""


def install(app: FastAPI) -> None:
    """Add the schemas of bodies that routes read themselves."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def _schema(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
    )
    for methods in document["paths"].values():
        for operation in methods.values():
            _drop_null(operation.get("parameters", []))
            _add_rate_limit(operation)
    document.setdefault("components", {})["headers"] = RATE_LIMIT_HEADERS
    schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
    for model in (JobRequest, RetryRequest, SegmentRequest, EmbeddingRequest, AnnotationsRequest, ProblemBody):
        written = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        _add(schemas, {**written.pop("$defs", {}), model.__name__: written})
    return document


def _drop_null(parameters: list[dict[str, Any]]) -> None:
    """Drop `null` from optional parameters: a client leaves them out, and `?state=null` is refused."""
    for parameter in parameters:
        match parameter["schema"]:
            case {"anyOf": [dict(only), {"type": "null"}], **more}:
                parameter["schema"] = {**more, **only}


def _add_rate_limit(operation: dict[str, Any]) -> None:
    """Each answer to a valid key says what is left of the tenant's requests."""
    if operation.get("security"):
        for status, answer in operation["responses"].items():
            if status not in ("401", "405"):
                named = {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT_HEADERS}
                answer.setdefault("headers", {}).update(named)


def _add(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    """Raises ValueError if two different classes have one name."""
    for name, schema in more.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas are called {name}: rename one of the classes")
