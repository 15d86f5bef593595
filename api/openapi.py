"""What /docs says beyond the signatures: the submit body, its examples, the problem answers."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field, TypeAdapter

from api.exports.formats import FORMATS
from api.jobs.schemas import LABEL_KEY, JobRequest
from api.jobs.views import Job, Validated

TAGS = [
    {"name": "jobs", "description": "Many images in one request; the work goes on while you are away."},
    {"name": "results", "description": "Items, masks, and everything as one stream."},
    {"name": "models", "description": "What can be asked for, and what is loaded."},
    {"name": "health", "description": "For the cluster."},
]
DESCRIPTION = """Submit a **job** over images in S3, watch its counts, stream its masks as COCO RLE.

Coordinates are xy pixels of the upright image, times are RFC 3339 in UTC, errors are `application/problem+json`
with a `reason` to branch on."""


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


_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
_ALLOW = {"Allow": {"description": "The methods of this path", "schema": {"type": "string"}}}
_ETAG = {"ETag": {"description": "Changes with the state and the counts", "schema": {"type": "string"}}}
_LOCATION = {"Location": {"description": "The job's path", "schema": {"type": "string"}}}


def _problem(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


Responses = dict[int | str, dict[str, Any]]
ANYWHERE: Responses = {
    405: _problem("This path does not take that method", _ALLOW),
    422: _problem("Not a valid request; `errors` names the fields or parameters"),
    500: _problem("An error of ours; it was logged"),
}
"""What every route can answer."""
DATABASE_AWAY: Responses = {503: _problem("Not ready: come again after `Retry-After` seconds", _RETRY_AFTER)}
PROBLEMS: Responses = {
    **ANYWHERE,
    **DATABASE_AWAY,
    401: _problem("No key, or a wrong one", _CHALLENGE),
    429: _problem("Too many open items, downloads or wrong keys: come again after `Retry-After` seconds", _RETRY_AFTER),
}
"""What every route that needs a key can answer."""
NOT_FOUND: Responses = {404: _problem("Unknown, or another tenant's")}
SUBMIT_RESPONSES: Responses = {
    200: {"model": Validated, "description": "`validate_only`: nothing was stored"},
    202: {"model": Job, "description": "Accepted; `Location` names the job", "headers": {**_LOCATION, **_ETAG}},
    400: _problem("The body ended too early"),
    408: _problem("The body did not arrive in time"),
    413: _problem("The body is too large"),
    415: _problem(
        "The body is not JSON, or compressed otherwise than by gzip",
        {
            "Accept-Encoding": {
                "description": "`gzip`, where the body is compressed otherwise",
                "schema": {"type": "string"},
            }
        },
    ),
}
JOB_RESPONSES: Responses = {
    **NOT_FOUND,
    200: {"model": Job, "headers": _ETAG},
    304: {"description": "`If-None-Match` still holds", "headers": _ETAG},
}
CANCEL_RESPONSES: Responses = {**NOT_FOUND, 200: {"model": Job, "headers": _ETAG}}
DELETE_RESPONSES: Responses = {**NOT_FOUND, 409: _problem("The job is not done: cancel it first")}
RESULTS_RESPONSES: Responses = {
    200: {
        "description": "The stream",
        "headers": {
            "X-Job-State": {"description": "The job's state when the stream began", "schema": {"type": "string"}}
        },
        "content": {format.media_type: {"schema": {}} for format in FORMATS.values()},
    },
}
_NO_CONTROL = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
LABEL_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "label.{key}",
            "in": "query",
            "description": "Only jobs with this label, as `label.run=7`; several must all match",
            "style": "form",
            "explode": True,
            "schema": {
                "type": "object",
                "propertyNames": {"pattern": rf"^label\.{LABEL_KEY}$"},
                "additionalProperties": {"type": "string", "maxLength": 255, "pattern": _NO_CONTROL},
            },
            "example": {"label.run": "7"},
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
    for methods in document["paths"].values():
        for operation in methods.values():
            _drop_null(operation.get("parameters", []))
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (JobRequest, ProblemBody):
        written = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
        _add(schemas, {**written.pop("$defs", {}), model.__name__: written})
    return document


def _drop_null(parameters: list[dict[str, Any]]) -> None:
    """An optional parameter is absent; `?state=null` is no state."""
    for parameter in parameters:
        match parameter["schema"]:
            case {"anyOf": [dict(only), {"type": "null"}], **more}:
                parameter["schema"] = {**more, **only}


def _add(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    """Raises ValueError where two classes of one name differ: one would describe the other's bodies."""
    for name, schema in more.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas are called {name}: rename one of the classes")
