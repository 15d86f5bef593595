"""What /docs says beyond the signatures: the submit body, its examples, the problem answers."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field, TypeAdapter

from api.schemas import JobRequest
from api.views import Job, Validated

TAGS = [
    {"name": "jobs", "description": "Many images in one request; the work goes on while you are away."},
    {"name": "results", "description": "Items, masks, and everything as one stream."},
    {"name": "models", "description": "What can be asked for, and what is loaded."},
    {"name": "health", "description": "For the cluster."},
]
DESCRIPTION = """Segment every image of a bucket by one call.

Submit a **job** over images in S3, watch its counts, stream its masks as COCO RLE. Coordinates are xy pixels of the
upright image, times are RFC 3339 in UTC, errors are `application/problem+json` with a `reason` to branch on."""


class ProblemField(BaseModel):
    pointer: str = Field(description="JSON pointer into the body", examples=["/input/items/3/prompts/0/points"])
    detail: str


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    reason: str = Field(examples=["INVALID_REQUEST"])
    errors: list[ProblemField] | None = None


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {"description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem("No key, or a wrong one"),
    404: _problem("Unknown, or another tenant's"),
    422: _problem("Not a valid request; `errors` names the fields"),
    503: _problem("The database does not answer: come again after `Retry-After` seconds"),
}
SUBMIT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Validated, "description": "`validate_only`: nothing was stored"},
    202: {"model": Job, "description": "Accepted; `Location` names the job"},
    413: _problem("The body is too large"),
    415: _problem("The body is not JSON"),
    429: _problem("Too many open items: come again after `Retry-After` seconds"),
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "`If-None-Match` still holds"}}
RESULTS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stream",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}, "application/json": {}},
    }
}
LABEL_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "label.{key}",
            "in": "query",
            "description": "Only jobs with this label, as `label.run=7`; several must all match",
            "schema": {"type": "string"},
        }
    ]
}
_EXAMPLES: dict[str, Any] = {
    "everything in two images": {
        "value": {
            "name": "tiles",
            "labels": {"run": "7"},
            "task": {"type": "auto", "points_per_side": 32, "pred_iou_thresh": 0.88},
            "input": {"items": [{"custom_id": "a", "image": "s3://bucket/a.jpg"}, {"image": "s3://bucket/b.jpg"}]},
        }
    },
    "everything under a prefix": {
        "value": {"task": {"type": "auto"}, "input": {"prefix": "s3://bucket/photos/", "glob": "**/*.jpg"}}
    },
    "given points and boxes": {
        "value": {
            "task": {"type": "prompted"},
            "input": {
                "items": [
                    {
                        "image": "s3://bucket/a.jpg",
                        "prompts": [
                            {"id": "cup", "points": [[500, 375]], "labels": [1]},
                            {"id": "plate", "box": [425, 600, 700, 875], "multimask": False},
                        ],
                    }
                ]
            },
        }
    },
}
SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}, "examples": _EXAMPLES}},
    }
}


def install(app: FastAPI) -> None:
    """Add the schemas of bodies that are read by hand, so that a body is parsed once and pointed into exactly."""

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
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (JobRequest, ProblemBody):
        written = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(written.pop("$defs", {}))
        schemas[model.__name__] = written
    return document
