"""What the OpenAPI document says of calls for one image beyond the signatures: bodies, answers, examples."""

from typing import Any

from api.http.problems import PROBLEMS, Responses, problem_answer

_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_ETAG = {"ETag": {"description": "Of the content, the model and the precision", "schema": {"type": "string"}}}
RESPONSES: Responses = {
    **PROBLEMS,
    408: problem_answer("The body did not arrive in time"),
    413: problem_answer("The body is too large"),
    415: problem_answer("The body is neither application/json nor multipart/form-data, or is encoded unlike gzip"),
    422: problem_answer("Not a valid request, or an image that cannot be segmented; `reason` is then that of an item"),
    429: problem_answer("Too many calls for one image, or wrong keys: wait `Retry-After` seconds", _RETRY_AFTER),
    503: problem_answer("No worker, no queue, or too many calls: wait `Retry-After` seconds", _RETRY_AFTER),
    504: problem_answer("No answer in time", _RETRY_AFTER),
}
EMBEDDING_RESPONSES: Responses = {
    **RESPONSES,
    200: {
        "description": "The embedding: float16, little-endian, in the order of the shape",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            **_ETAG,
            "X-Embedding-Shape": {
                "description": "Channels, height, width",
                "schema": {"type": "string"},
                "example": "256,64,64",
            },
            "X-Image-Size": {
                "description": "Height and width of the upright image",
                "schema": {"type": "string"},
                "example": "1200,1600",
            },
        },
    },
    304: {"description": "`If-None-Match` names the embedding's ETag", "headers": _ETAG},
}


def body(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    """The two media types of a call. `schema` names a component."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    form = {
        "type": "object",
        "properties": {"image": {"type": "string", "format": "binary"}, "request": reference},
        "required": ["image"],
        "additionalProperties": False,
    }
    content = {
        "application/json": {"schema": reference, "examples": examples},
        "multipart/form-data": {"schema": form, "encoding": {"request": {"contentType": "application/json"}}},
    }
    return {"requestBody": {"required": True, "content": content}}


_IMAGE = {"image": "s3://bucket/photos/a.jpg"}
_CLICK = {"task": {"type": "prompted"}, "prompts": [{"points": [[500, 375]], "labels": [1]}]}
SEGMENT_BODY = body(
    "SegmentRequest",
    {"a click": {"value": _IMAGE | _CLICK}, "everything": {"value": _IMAGE | {"task": {"type": "auto"}}}},
)
EMBEDDING_BODY = body("EmbeddingRequest", {"an object in S3": {"value": _IMAGE}})
