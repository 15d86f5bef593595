"""The one table that turns the exceptions of a request into problem+json.

Problem                a refusal (`api.refusals`)
NoSuchJob              the same as JobNotFound, from the files of results
FileTooLarge           a file of results that has to be made in parts
sqlalchemy, psycopg    the database does not answer: 503
ClientDisconnect       the client closed the connection before its body ended. Nobody reads the answer
HTTPException          Starlette's own: no route, wrong method
Exception              a bug: 500, logged with its traceback
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
import sqlalchemy.exc
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match

from api.refusals import (
    AnnotationNotFound,
    BodiesTooLarge,
    BodyTooLarge,
    BodyTooSlow,
    BucketNotAllowed,
    CallsTooLarge,
    CallTooSlow,
    DecoderNotFound,
    FieldError,
    HostNotAllowed,
    IdempotencyKeyReused,
    ImageChanged,
    ImageFailed,
    ImageNotAllowed,
    ImageNotFound,
    ImageTooLarge,
    InvalidBody,
    InvalidParameter,
    ItemNotFound,
    ItemNotSucceeded,
    JobNotDone,
    JobNotFound,
    MaskNotFound,
    NothingToRetry,
    NotReady,
    NoWorker,
    Problem,
    QueueUnavailable,
    ScopeMissing,
    StorageUnavailable,
    TaskNotServed,
    TooManyAnnotations,
    TooManyCalls,
    TooManyExports,
    TooManyFollowers,
    TooManyOpenItems,
    TooManyOverlays,
    TooManyPreviews,
    TooManyRequests,
    TooManyUploads,
    TooManyWrongKeys,
    Unauthenticated,
    UnknownModel,
    UnsupportedEncoding,
    UnsupportedMediaType,
    UploadNotAllowed,
    UploadNotStored,
    UploadsDisabled,
    WebhookNotEnded,
    WebhookNotFound,
)
from db.states import ItemReason
from exports.format import FileTooLarge
from exports.pages import NoSuchJob
from intake.messages import pointer, text_of

log = logging.getLogger("maskworks.api")

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2
MAX_ERRORS_SHOWN = 100


@dataclass(frozen=True)
class Kind:
    """A row of the table. `retry` adds Retry-After. `detail` replaces the exception's text, which must not leak."""

    status: HTTPStatus
    reason: str
    title: str
    retry: bool = False
    detail: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_DATABASE_AWAY = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "DATABASE_UNAVAILABLE",
    "The database does not answer",
    retry=True,
    detail="The request may or may not have been carried out: try again. Send submits with an Idempotency-Key.",
)

_OVERLOADED = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "OVERLOADED", "Too many large requests", retry=True)
_ACCESS_DENIED = Kind(HTTPStatus.FORBIDDEN, "ACCESS_DENIED", "The image may not be read or stored")
_STORAGE_AWAY = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE, "STORAGE_UNAVAILABLE", "The image was not read or stored in time", retry=True
)
_JOB_NOT_FOUND = Kind(HTTPStatus.NOT_FOUND, "JOB_NOT_FOUND", "There is no such job")

TABLE: dict[type[Exception], Kind] = {
    InvalidBody: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_REQUEST", "The request body is not valid"),
    UnknownModel: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "UNKNOWN_MODEL", "This model is not served here"),
    TaskNotServed: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "TASK_NOT_SERVED", "No live worker serves this task"),
    MaskNotFound: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "MASK_NOT_FOUND", "There is no such earlier mask"),
    BucketNotAllowed: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "BUCKET_NOT_ALLOWED", "This place in S3 may not be used"),
    HostNotAllowed: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "HOST_NOT_ALLOWED", "This host may not be read here"),
    InvalidParameter: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_PARAMETER", "A parameter is not valid"),
    Unauthenticated: Kind(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "A valid API key is needed"),
    ScopeMissing: Kind(HTTPStatus.FORBIDDEN, "SCOPE_MISSING", "The API key may not make this call"),
    TooManyWrongKeys: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_WRONG_KEYS", "Too many wrong keys", retry=True),
    TooManyRequests: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "Too many requests", retry=True),
    JobNotFound: _JOB_NOT_FOUND,
    NoSuchJob: _JOB_NOT_FOUND,
    DecoderNotFound: Kind(HTTPStatus.NOT_FOUND, "DECODER_NOT_FOUND", "There is no such decoder"),
    ItemNotFound: Kind(HTTPStatus.NOT_FOUND, "ITEM_NOT_FOUND", "There is no such item"),
    AnnotationNotFound: Kind(HTTPStatus.NOT_FOUND, "ANNOTATION_NOT_FOUND", "There is no such annotation"),
    TooManyAnnotations: Kind(HTTPStatus.CONFLICT, "TOO_MANY_ANNOTATIONS", "Too many annotations"),
    JobNotDone: Kind(HTTPStatus.CONFLICT, "JOB_NOT_DONE", "The job is not done"),
    NothingToRetry: Kind(HTTPStatus.CONFLICT, "NOTHING_TO_RETRY", "No item can be retried"),
    ItemNotSucceeded: Kind(HTTPStatus.CONFLICT, "ITEM_NOT_SUCCEEDED", "The item has no masks to draw"),
    ImageNotFound: Kind(HTTPStatus.NOT_FOUND, "OBJECT_NOT_FOUND", "The image is not there any more"),
    ImageNotAllowed: _ACCESS_DENIED,
    UploadNotAllowed: _ACCESS_DENIED,
    ImageChanged: Kind(HTTPStatus.CONFLICT, "IMAGE_CHANGED", "The image is not the one that was segmented"),
    ImageTooLarge: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "IMAGE_TOO_LARGE", "The image is too large to draw on"),
    StorageUnavailable: _STORAGE_AWAY,
    UploadNotStored: _STORAGE_AWAY,
    TooManyOverlays: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_OVERLAYS", "Too many overlays", retry=True),
    TooManyPreviews: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_PREVIEWS", "Too many previews", retry=True),
    WebhookNotFound: Kind(HTTPStatus.NOT_FOUND, "WEBHOOK_NOT_FOUND", "The job has no webhook"),
    WebhookNotEnded: Kind(HTTPStatus.CONFLICT, "WEBHOOK_PENDING", "The webhook is still to be sent"),
    IdempotencyKeyReused: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was used for another body"
    ),
    UnsupportedMediaType: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        "The body must be application/json",
        headers={"Accept-Encoding": "gzip"},
    ),
    UnsupportedEncoding: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_ENCODING",
        "The body must be plain or gzip",
        headers={"Accept-Encoding": "gzip"},
    ),
    BodyTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", "The request body is too large"),
    BodyTooSlow: Kind(HTTPStatus.REQUEST_TIMEOUT, "BODY_TOO_SLOW", "The request body came too slowly"),
    BodiesTooLarge: _OVERLOADED,
    TooManyOpenItems: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_OPEN_ITEMS", "Too many open items", retry=True),
    FileTooLarge: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "FILE_TOO_LARGE", "The file would be too large"),
    TooManyExports: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_EXPORTS", "Too many downloads", retry=True),
    TooManyFollowers: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_FOLLOWERS", "Too many event streams", retry=True),
    TooManyCalls: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_CALLS", "Too many calls for one image", retry=True),
    CallsTooLarge: _OVERLOADED,
    NoWorker: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "NO_WORKER", "No worker has this model loaded", retry=True),
    QueueUnavailable: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "QUEUE_UNAVAILABLE", "The queue of calls does not answer", retry=True
    ),
    CallTooSlow: Kind(HTTPStatus.GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", "No answer in time", retry=True),
    UploadsDisabled: Kind(HTTPStatus.NOT_FOUND, "UPLOADS_DISABLED", "There are no uploads here"),
    TooManyUploads: Kind(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_UPLOADS", "Too many uploads", retry=True),
    # Its own reason takes the place of this one.
    ImageFailed: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "IMAGE_FAILED", "The image cannot be used"),
    NotReady: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "NOT_READY", "Not ready yet", retry=True),
    ClientDisconnect: Kind(
        HTTPStatus.BAD_REQUEST,
        "CLIENT_DISCONNECTED",
        "The client went away",
        detail="The connection closed before the whole body arrived.",
    ),
    sqlalchemy.exc.OperationalError: _DATABASE_AWAY,
    sqlalchemy.exc.InterfaceError: _DATABASE_AWAY,
    sqlalchemy.exc.TimeoutError: _DATABASE_AWAY,
    psycopg.OperationalError: _DATABASE_AWAY,
    psycopg.InterfaceError: _DATABASE_AWAY,
    Exception: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "The server failed", detail="The error was logged."),
}

IMAGE_STATUS: dict[ItemReason, HTTPStatus] = {
    ItemReason.STORAGE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ItemReason.GPU_OUT_OF_MEMORY: HTTPStatus.SERVICE_UNAVAILABLE,
    ItemReason.OUT_OF_MEMORY: HTTPStatus.SERVICE_UNAVAILABLE,
    ItemReason.WORKER_LOST: HTTPStatus.SERVICE_UNAVAILABLE,
    ItemReason.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ItemReason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The statuses of ImageFailed. Any other reason lies with the request: 422."""

_OF_STATUS: dict[int, tuple[str, str]] = {
    404: ("NOT_FOUND", "There is nothing at this path"),
    405: ("METHOD_NOT_ALLOWED", "This path does not take that method"),
}


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class ProblemResponse(Response):
    media_type = PROBLEM_JSON


def problem(request: Request, kind: Kind, detail: str, errors: Sequence[FieldError] = ()) -> ProblemResponse:
    """An RFC 9457 body for this request."""
    body: dict[str, Any] = {
        "type": f"urn:maskworks:problem:{kind.reason.lower().replace('_', '-')}",
        "title": kind.title,
        "status": kind.status.value,
        "detail": detail,
        "instance": request.url.path,
        "reason": kind.reason,
    }
    if errors:
        body["errors"] = list(errors)[:MAX_ERRORS_SHOWN]
    headers = {**kind.headers, **({"Retry-After": str(RETRY_AFTER_SECONDS)} if kind.retry else {})}
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(orjson.dumps(body), kind.status.value, headers)


def kind_of(error: Exception) -> Kind:
    """The table's row for the nearest class that it has."""
    if isinstance(error, ImageFailed):
        return _image_failed(error.reason)
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def _image_failed(reason: ItemReason) -> Kind:
    """The reasons are those of an item of a job."""
    if reason is ItemReason.INTERNAL:
        return TABLE[Exception]
    kind = TABLE[ImageFailed]
    status = IMAGE_STATUS.get(reason, kind.status)
    return replace(kind, status=status, reason=reason.value, retry=status is not kind.status)


async def answer(request: Request, error: Exception) -> Response:
    """The answer to an exception of the table. A bug is logged with its traceback."""
    kind = kind_of(error)
    if kind is _DATABASE_AWAY:
        log.warning("%s %s: %s", request.method, request.url.path, str(error).partition("\n")[0])
    elif kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    errors = error.errors if isinstance(error, Problem) else ()
    answered = problem(request, kind, kind.detail or str(error), errors)
    if isinstance(error, Problem) and error.retry_after is not None:
        answered.headers["Retry-After"] = str(error.retry_after)
    return answered


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _answer_method(request)
    status = HTTPStatus(error.status_code)
    reason, title = _OF_STATUS.get(error.status_code, (status.name, status.phrase))
    answered = problem(request, Kind(status, reason, title), title)
    answered.headers.update(error.headers or {})
    return answered


def _answer_method(request: Request) -> Response:
    """405, or the answer to OPTIONS. Starlette lists those of one route; this lists all of the path."""
    allowed = [m for m in _METHODS if any(_takes(route, m, request) for route in request.app.routes)]
    headers = {"Allow": ", ".join([*allowed, *(["HEAD"] if "GET" in allowed else []), "OPTIONS"])}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    reason, title = _OF_STATUS[405]
    answered = problem(
        request, Kind(HTTPStatus.METHOD_NOT_ALLOWED, reason, title), f"this path takes {headers['Allow']}"
    )
    answered.headers.update(headers)
    return answered


def _takes(route: BaseRoute, method: str, request: Request) -> bool:
    return route.matches({**request.scope, "method": method})[0] is Match.FULL


async def _answer_parameters(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong with parameters, as InvalidParameter."""
    assert isinstance(error, RequestValidationError)
    found: list[FieldError] = [{"pointer": pointer(e["loc"][1:]), "detail": text_of(e)} for e in error.errors()]
    return problem(request, TABLE[InvalidParameter], f"{found[0]['pointer']}: {found[0]['detail']}", found)


def install(app: FastAPI) -> None:
    """Answer every exception of the table as problem+json. `api.http.edge` answers those that nobody expected."""
    for cls in TABLE.keys() - {Exception}:
        app.add_exception_handler(cls, answer)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_parameters)
