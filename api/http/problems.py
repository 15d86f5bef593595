"""Problem answers as the OpenAPI document lists them."""

from typing import Any

from pydantic import BaseModel, Field


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
RATE_LIMIT_HEADERS: dict[str, Any] = {
    "RateLimit-Policy": {
        "description": "How many requests a tenant may make in how many seconds (draft-ietf-httpapi-ratelimit-headers)",
        "required": False,
        "schema": {"type": "string", "pattern": r'^"requests";q=\d+;w=\d+$'},
        "example": '"requests";q=6000;w=60',
    },
    "RateLimit": {
        "description": "How many are left, and after how many seconds there is one more",
        "required": False,
        "schema": {"type": "string", "pattern": r'^"requests";r=\d+;t=\d+$'},
        "example": '"requests";r=5999;t=1',
    },
}
"""Not required: an API without Redis, or whose Redis is away, does not count requests."""


def problem_answer(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


Responses = dict[int | str, dict[str, Any]]
ANYWHERE: Responses = {
    405: problem_answer("This path does not take that method", _ALLOW),
    422: problem_answer("Not a valid request; `errors` names the fields or parameters"),
    500: problem_answer("The server failed. The error was logged"),
}
"""Answers that every route can give."""
DATABASE_AWAY: Responses = {503: problem_answer("Not ready: wait `Retry-After` seconds", _RETRY_AFTER)}
PROBLEMS: Responses = {
    **ANYWHERE,
    **DATABASE_AWAY,
    401: problem_answer("No key, or a wrong one", _CHALLENGE),
    403: problem_answer("The key lacks the scope of this call"),
    429: problem_answer("Too much at a time or in a minute: wait `Retry-After` seconds", _RETRY_AFTER),
}
"""Answers that every route with a key can give."""
NOT_FOUND: Responses = {404: problem_answer("Unknown, or another tenant's")}
