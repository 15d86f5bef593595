"""Logs on stderr: lines for people, or JSON, one object a line, with the ids of what a record is about."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

import orjson

from db.traces import trace_id

LogFormat = Literal["text", "json"]
_IDS: Final[ContextVar[dict[str, str | int]]] = ContextVar("maskworks_ids", default={})  # noqa: B039  never changed


@contextmanager
def about(**ids: str | int) -> Iterator[None]:
    """Whatever the block logs in its thread or task has these ids: `request`, `job`, `chunk`."""
    before = _IDS.set({**_IDS.get(), **ids})
    try:
        yield
    finally:
        _IDS.reset(before)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, the ids, and `error` with a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_IDS.get(),
        }
        if (trace := trace_id()) is not None:
            said["trace"] = trace
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        # A lone half of a surrogate pair cannot be written as UTF-8.
        return orjson.dumps({name: _writable(value) for name, value in said.items()}).decode()


def _writable(value: object) -> str | int:
    return value if isinstance(value, int) else str(value).encode(errors="backslashreplace").decode()


def log_to_stderr(form: LogFormat, text: str, level: int) -> None:
    """Set up the root logger, unless logging is configured already. `text`: the format of lines for people."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler])
