"""Logs as JSON: one object a line, whatever is said, with the ids of what it is about."""

import json
import logging
import sys
import threading
from typing import Any

import pytest

from db.logs import JsonFormatter, about


def said(message: str, *values: object, error: bool = False) -> dict[str, Any]:
    record = logging.LogRecord("maskworks.x", logging.WARNING, __file__, 1, message, values, None)
    record.exc_info = sys.exc_info() if error else None
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    return found


def test_a_record_has_the_ids_of_the_blocks_around_it() -> None:
    elsewhere: list[dict[str, Any]] = []
    with about(job="job_1"):
        with about(chunk=7):
            assert said("%d of %s", 3, "x") == {
                "level": "WARNING", "logger": "maskworks.x", "message": "3 of x", "job": "job_1", "chunk": 7,
            }  # fmt: skip
            thread = threading.Thread(target=lambda: elsewhere.append(said("x")))
            thread.start()
            thread.join()
        assert "chunk" not in said("x") and said("x")["job"] == "job_1"
    assert "job" not in said("x") and "job" not in elsewhere[0]


def test_an_error_is_in_its_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        assert said("failed", error=True)["error"].endswith("ValueError: no")


@pytest.mark.parametrize("message", ['a "quoted"\nline', "nul \x00", "\x1b[31m red", "héllo"])
def test_what_clients_send_cannot_break_a_line(message: str) -> None:
    assert said("%s", message)["message"] == message
    assert said("%s", f"{message} \ud800")["message"] == f"{message} \\ud800"
