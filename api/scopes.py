"""The scope that each route under /v1 asks for. Add a line for each route; a test holds that none is missing.

A route that is missing here asks for every scope, so that forgetting it opens nothing.
"""

from typing import Final

from fastapi import Request

from api.refusals import ScopeMissing
from db.scopes import ALL, Scope

_JOB = "/v1/jobs/{job_id}"
SCOPES: Final[dict[tuple[str, str], Scope]] = {
    ("GET", "/v1/jobs"): Scope.JOBS_READ,
    ("POST", "/v1/jobs"): Scope.JOBS_WRITE,
    ("GET", _JOB): Scope.JOBS_READ,
    ("DELETE", _JOB): Scope.JOBS_WRITE,
    ("POST", f"{_JOB}:cancel"): Scope.JOBS_WRITE,
    ("POST", f"{_JOB}:retry"): Scope.JOBS_WRITE,
    ("GET", f"{_JOB}/events"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/items"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/items/{{item_id}}"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/items/{{item_id}}/masks"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/items/{{item_id}}/overlay.png"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/items/{{item_id}}/preview.jpg"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/results"): Scope.JOBS_READ,
    ("GET", f"{_JOB}/webhook"): Scope.JOBS_READ,
    ("POST", f"{_JOB}/webhook:redeliver"): Scope.WEBHOOKS,
    ("GET", "/v1/webhook-secrets"): Scope.WEBHOOKS,
    ("POST", "/v1/webhook-secrets"): Scope.WEBHOOKS,
    ("GET", "/v1/annotations"): Scope.ANNOTATIONS_READ,
    ("POST", "/v1/annotations"): Scope.ANNOTATIONS_WRITE,
    ("DELETE", "/v1/annotations"): Scope.ANNOTATIONS_WRITE,
    ("DELETE", "/v1/annotations/{annotation_id}"): Scope.ANNOTATIONS_WRITE,
    ("GET", "/v1/annotations/export"): Scope.ANNOTATIONS_READ,
    ("GET", "/v1/models"): Scope.JOBS_READ,
    ("GET", "/v1/models/{model}/decoders/{revision}"): Scope.SEGMENT,
    ("GET", "/v1/uploads"): Scope.JOBS_READ,
    ("PUT", "/v1/uploads/{name}"): Scope.JOBS_WRITE,
    ("POST", "/v1/segment"): Scope.SEGMENT,
    ("POST", "/v1/embeddings"): Scope.SEGMENT,
}


def check_scope(request: Request, scopes: frozenset[Scope]) -> None:
    """Whether a key with these scopes may call the request's route. Raises ScopeMissing."""
    if scopes == ALL:
        return
    needed = SCOPES.get((request.method, request.scope["route"].path_format))
    if needed not in scopes:
        name = "every scope" if needed is None else f"the scope {needed}"
        raise ScopeMissing(f"this call needs {name}, and the API key has {', '.join(sorted(scopes)) or 'none'}")
