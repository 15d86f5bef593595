"""`celery -A bench.without_s3 worker`: a worker that reads each object from S3 once, and then from memory."""

from collections.abc import Callable

from workers.storage.reading import Reading

_objects: dict[str, bytes | None] = {}
_read = Reading.read


def read(self: Reading, known: Callable[[str], bool] | None = None) -> bytes | None:
    if self.uri not in _objects:
        _objects[self.uri] = _read(self, known)
    return _objects[self.uri]


Reading.read = read  # type: ignore[method-assign]

from workers.main import app  # noqa: E402

__all__ = ["app"]
