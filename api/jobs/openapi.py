"""What the OpenAPI document says of jobs beyond the signatures: answers, the submit body, examples, labels."""

from typing import Any

from api.http.problems import NOT_FOUND, Responses, problem_answer
from api.jobs.schemas import LABEL_KEY
from api.jobs.views import Job, Validated
from intake.fields import NO_CONTROL

_LOCATION = {"Location": {"description": "The job's path", "schema": {"type": "string"}}}
_ETAG = {"ETag": {"description": "Changes with the state and the counts", "schema": {"type": "string"}}}
SUBMIT_RESPONSES: Responses = {
    200: {"model": Validated, "description": "`validate_only`: nothing was stored"},
    202: {
        "model": Job,
        "description": "Accepted. `Location` is the path of the job",
        "headers": {**_LOCATION, **_ETAG},
    },
    400: problem_answer("The body ended too early"),
    408: problem_answer("The body did not arrive in time"),
    413: problem_answer("The body is too large"),
    415: problem_answer(
        "The body is neither JSON nor lines of JSON, or not compressed by gzip",
        {
            "Accept-Encoding": {
                "description": "`gzip`, where the body is compressed otherwise",
                "schema": {"type": "string"},
            }
        },
    ),
}
_BODY_REFUSED: Responses = {status: SUBMIT_RESPONSES[status] for status in (400, 408, 413, 415)}
RETRY_RESPONSES: Responses = {
    **NOT_FOUND,
    **_BODY_REFUSED,
    202: SUBMIT_RESPONSES[202],
    409: problem_answer("The job is not done, or no item can be retried"),
}
RETRY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/RetryRequest"},
                "examples": {
                    "failed and cancelled items": {"value": {"include": ["cancelled"]}},
                    "two items": {"value": {"items": ["17", "23"]}},
                },
            }
        },
    }
}
JOB_RESPONSES: Responses = {
    **NOT_FOUND,
    200: {"model": Job, "headers": _ETAG},
    304: {"description": "The job has not changed since `If-None-Match`", "headers": _ETAG},
}
CANCEL_RESPONSES: Responses = {**NOT_FOUND, 200: {"model": Job, "headers": _ETAG}}
DELETE_RESPONSES: Responses = {**NOT_FOUND, 409: problem_answer("The job is not done: cancel it first")}
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
                "additionalProperties": {"type": "string", "maxLength": 255, "pattern": NO_CONTROL},
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
    "results written to S3": {
        "value": {
            "task": {"type": "auto"},
            "input": {"prefix": "s3://bucket/photos/"},
            "output": {"uri": "s3://bucket/out/", "formats": ["coco"]},
        }
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
_LINES = {
    "type": "string",
    "description": "One JSON object a line. The first is a JobRequest without items, manifest or prefix, and "
    "its `input` may be absent. Each other line is an ItemRequest: "
    '`{"task": {"type": "auto"}}`, `{"image": "s3://bucket/a.jpg"}`, `{"image": "s3://bucket/b.jpg"}`, …',
}
SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}, "examples": _EXAMPLES},
            "application/x-ndjson": {"schema": _LINES},
        },
    }
}
