"""Refusals: the exceptions of a request that the client is told about. `api.errors` turns them into answers.

Problem                a refusal, with a detail for the client
├─ InvalidBody         the body's shape; carries `errors: [{pointer, detail}]`
│  ├─ UnknownModel
│  ├─ TaskNotServed
│  ├─ MaskNotFound
│  ├─ BucketNotAllowed
│  └─ HostNotAllowed
├─ InvalidParameter    a query parameter or header; carries `errors` too
├─ ImageFailed         an image that was to be segmented at once; its reason decides the answer
├─ Unauthenticated, ScopeMissing, TooManyWrongKeys, TooManyRequests
├─ JobNotFound, ItemNotFound, JobNotDone, NothingToRetry, ItemNotSucceeded, ImageNotFound, ImageNotAllowed,
│  DecoderNotFound, ImageChanged, ImageTooLarge, StorageUnavailable, TooManyOverlays, TooManyPreviews,
│  WebhookNotFound, WebhookNotEnded, IdempotencyKeyReused, UnsupportedMediaType, UnsupportedEncoding, BodyTooLarge,
│  BodyTooSlow, BodiesTooLarge, TooManyOpenItems, TooManyExports, TooManyFollowers, TooManyCalls, CallsTooLarge,
│  NoWorker, QueueUnavailable, CallTooSlow, AnnotationNotFound, TooManyAnnotations,
│  UploadsDisabled, UploadNotAllowed, UploadNotStored, TooManyUploads
└─ NotReady            the database answers but is not migrated
"""

from collections.abc import Sequence
from typing import TypedDict

from db.states import ItemReason


class FieldError(TypedDict):
    """One thing wrong with a request. `pointer` is an RFC 6901 JSON pointer into the body ("" is all of it)."""

    pointer: str
    detail: str


class Problem(Exception):
    """A refusal with a detail for the client."""

    def __init__(self, detail: str, errors: Sequence[FieldError] = (), *, retry_after: int | None = None) -> None:
        """`retry_after` are the seconds to wait, where they are known."""
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.retry_after = retry_after


class InvalidBody(Problem):
    """The body is not what the operation takes."""

    def __init__(self, errors: Sequence[FieldError], n_errors: int | None = None) -> None:
        """`n_errors` is the number of all errors, if `errors` holds only the first ones."""
        first, others = errors[0], (n_errors or len(errors)) - 1
        more = f" ({others} more in errors)" if others else ""
        super().__init__(f"{first['pointer'] or 'body'}: {first['detail']}{more}", errors)


class UnknownModel(InvalidBody):
    """The body names a model that this installation does not serve."""


class TaskNotServed(InvalidBody):
    """The body asks for a task that no live worker serves."""


class MaskNotFound(InvalidBody):
    """The body names an earlier mask that is not there, or not the caller's."""


class BucketNotAllowed(InvalidBody):
    """The body names a bucket that is not in MASKWORKS_BUCKETS, or a place that is not in the tenant's list."""


class HostNotAllowed(InvalidBody):
    """The body names an https image on a host that is not in MASKWORKS_HTTPS_IMAGES."""


class InvalidParameter(Problem):
    """A query parameter or header has no usable value."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}", [{"pointer": f"/{name}", "detail": detail}])


class Unauthenticated(Problem):
    """No key, or one that is not valid."""


class ScopeMissing(Problem):
    """The key is valid, and may not make this call."""


class TooManyWrongKeys(Problem):
    """This address has sent too many wrong keys and must wait."""


class TooManyRequests(Problem):
    """The tenant has made too many requests in a minute."""


class JobNotFound(Problem):
    """No such job, or another tenant's."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"you have no job {job_id!r}")


class ItemNotFound(Problem):
    """The job has no item of that index."""


class AnnotationNotFound(Problem):
    """No such annotation, or another tenant's."""


class TooManyAnnotations(Problem):
    """The tenant would have more annotations than it may."""


class JobNotDone(Problem):
    """Only a final job can be deleted or retried."""


class NothingToRetry(Problem):
    """The job has no item that a retry would take."""


class ItemNotSucceeded(Problem):
    """An item without masks has no overlay."""


class ImageNotFound(Problem):
    """The item's image is not there any more."""


class ImageNotAllowed(Problem):
    """The API may not read the item's image: the installation, the tenant's list or the store forbids it."""


class ImageChanged(Problem):
    """The item's image is not the one that was segmented."""


class ImageTooLarge(Problem):
    """The item's image is larger than what overlays are drawn of."""


class StorageUnavailable(Problem):
    """The item's image could not be read in time."""


class TooManyOverlays(Problem):
    """The tenant has too many overlays in progress."""


class TooManyPreviews(Problem):
    """The tenant has too many previews in progress."""


class WebhookNotFound(Problem):
    """The job asked for no webhook."""


class WebhookNotEnded(Problem):
    """The webhook's event is waiting to be sent."""


class IdempotencyKeyReused(Problem):
    """The Idempotency-Key was used before, with another body."""


class UnsupportedMediaType(Problem):
    """The body is not JSON."""


class UnsupportedEncoding(Problem):
    """The body is compressed by something other than gzip."""


class BodyTooLarge(Problem):
    """The body has more bytes or values than this installation takes."""


class BodyTooSlow(Problem):
    """The body did not arrive in time."""


class BodiesTooLarge(Problem):
    """The bodies of the requests in progress use all the memory that is set aside for them."""


class TooManyOpenItems(Problem):
    """The tenant, or all tenants together, would have too many unfinished items."""


class DecoderNotFound(Problem):
    """No decoder of this model and revision is there."""


class TooManyExports(Problem):
    """The tenant has too many downloads of results in progress."""


class TooManyFollowers(Problem):
    """The tenant has too many event streams open."""


class TooManyCalls(Problem):
    """The tenant has too many calls for one image in progress."""


class CallsTooLarge(Problem):
    """The calls in progress use all of Redis' memory that is set aside for them."""


class NoWorker(Problem):
    """No live worker answers calls for the model."""


class QueueUnavailable(Problem):
    """Redis does not answer, or there is none."""


class CallTooSlow(Problem):
    """No worker answered within MASKWORKS_CALL_SECONDS."""


class UploadsDisabled(Problem):
    """This installation takes no uploads."""


class UploadNotAllowed(Problem):
    """The tenant's list does not include its own folder for uploads."""


class UploadNotStored(Problem):
    """S3 did not take the uploaded image."""


class TooManyUploads(Problem):
    """The tenant has too many uploads in progress."""


class ImageFailed(Problem):
    """A worker could not segment the image, or stopped meanwhile."""

    def __init__(self, reason: ItemReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class NotReady(Problem):
    """The database lacks the revision that this code needs."""
