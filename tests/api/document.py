"""An answer held against the OpenAPI document: is its status listed for the operation, and is its body as described?"""

import json
import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

PROBLEM = "application/problem+json"


def check_answer(document: dict[str, Any], answer: httpx.Response) -> None:
    """Raises AssertionError, jsonschema.ValidationError."""
    request, media_type = answer.request, answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code >= 400:
        assert media_type == PROBLEM, f"{request.method} {request.url}: {media_type}"
        _check_body(document, {"$ref": "#/components/schemas/ProblemBody"}, answer)
    operation = _operation(document, request)
    if operation is None:
        return
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{request.method} {request.url}: {answer.status_code} is not in the document"
    for name, header in described.get("headers", {}).items():
        if _is_sent_always(document, header):
            assert name in answer.headers, f"{request.method} {request.url}: {answer.status_code} without {name}"
    if request.method == "HEAD" or not described.get("content"):
        assert answer.content == b"", f"{request.method} {request.url}: a body that is not in the document"
        return
    assert media_type in described["content"], f"{request.method} {request.url}: {media_type} is not in the document"
    if media_type.endswith("json") and "ndjson" not in media_type:
        _check_body(document, described["content"][media_type].get("schema", {}), answer)


def _operation(document: dict[str, Any], request: httpx.Request) -> dict[str, Any] | None:
    """None where the path is a page or nothing, or does not take the method."""
    method = "get" if request.method == "HEAD" else request.method.lower()
    for path, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(path)), request.url.path):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None


def _is_sent_always(document: dict[str, Any], header: dict[str, Any]) -> bool:
    shared = document["components"]["headers"].get(header.get("$ref", "").rpartition("/")[2], header)
    return shared.get("required") is not False


def _check_body(document: dict[str, Any], schema: dict[str, Any], answer: httpx.Response) -> None:
    if answer.request.method == "HEAD":
        return
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(json.loads(answer.content))
