"""`celery -A bench.without_s3 worker`: a worker that reads each object from S3 once, and then from memory."""

from collections.abc import Callable

from workers.storage.reading import Reading

_objects: dict[str, bytes] = {}
_read: Callable[[Reading], bytes] = Reading.read


def read(self: Reading) -> bytes:
    if self.uri not in _objects:
        _objects[self.uri] = _read(self)
    return _objects[self.uri]


Reading.read = read  # type: ignore[method-assign]

from workers.main import app  # noqa: E402

__all__ = ["app"]
