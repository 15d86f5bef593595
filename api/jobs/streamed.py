"""A body of lines, as it comes → a valid `Submission`, or its errors. The first line is the job, each other an item."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from api.jobs.item_spool import ItemSpool
from api.jobs.schemas import JobRequest
from api.jobs.submission import (
    DryRun,
    Findings,
    Rules,
    Submission,
    check_image,
    dry_run,
    prompting_of,
    read_job,
    submission,
)
from api.refusals import FieldError, InvalidBody
from intake.item import Prompting
from intake.item_lines import ItemLine, check_lines
from intake.json_object import BadObject, read_object
from intake.line_formats import json_line
from intake.lines import Line, Lines

_BLANK_LINES: Final = 1000
"""More are taken only beside as many items: a small packed body could hold a thousand million."""
_FROM_LINES: Final = ("items", "manifest", "prefix", "glob")


class StreamedSubmission:
    """Reads a body as it comes. After an error the other lines are checked too, but not kept."""

    def __init__(self, rules: Rules, longest_line: int) -> None:
        self.spool = ItemSpool()
        self._rules = rules
        self._longest = longest_line
        self._lines = Lines(longest_line)
        self._digest = hashlib.sha256()
        self._found = Findings()
        self._raw: dict[str, Any] | None = None
        self._request: JobRequest | None = None
        self._prompting: Prompting | None = None
        self._n_items = 0
        self._n_bad = 0

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def feed(self, piece: bytes) -> None:
        """The next bytes. Raises InvalidBody for a first line that is no job, BodiesTooLarge where the disk is full."""
        self._digest.update(piece)
        self._take([*self._lines.feed(piece)])
        if self._lines.number > _BLANK_LINES + 2 * self._rules.max_items:
            raise InvalidBody([{"pointer": "", "detail": "has too many blank lines"}])

    def finish(self) -> Submission | DryRun:
        """After the last piece. Raises InvalidBody or a subclass. With `validate_only` errors are returned instead."""
        self._take([*self._lines.end()])
        if self._raw is None:
            raise _first_line("is missing: it is the job without `input`")
        if self._n_items == 0:
            self._found.add("/input/items", "must not be empty: each line after the first is an item")
        self._check_ids()
        if self._raw.get("validate_only") is True:
            counts = self._n_items, self._n_bad
            return dry_run(self._request, self._rules, *counts, self._found.errors, self.spool.any_prompts)
        if self._request is None or self._found.errors:
            raise self._found.refusal()
        return submission(self._request, self._raw, self._rules, self.spool, self.spool.any_prompts)

    def close(self) -> None:
        self.spool.close()

    def _take(self, lines: Sequence[Line]) -> None:
        lines = [line for line in lines if not line.is_blank]
        if lines and self._raw is None:
            self._read_job(lines[0])
            lines = lines[1:]
        room = self._rules.max_items - self._n_items
        if len(lines) > room:
            limit = f"a body takes at most {self._rules.max_items} items: submit several jobs, or a manifest"
            raise InvalidBody([{"pointer": "/input/items", "detail": limit}])
        for line in check_lines(lines, json_line, self._prompting, self._n_items, self._longest):
            self._check(line)
        self._n_items += len(lines)

    def _read_job(self, line: Line) -> None:
        if line.text is None:
            raise _first_line(f"is longer than {self._longest} bytes")
        try:
            raw = read_object(line.text)
        except BadObject as error:
            faults: list[FieldError] = [{"pointer": at, "detail": f"line 1: {why}"} for at, why in error.faults]
            raise InvalidBody(faults) from error
        given = raw.get("input", {})
        if not isinstance(given, dict):
            raise InvalidBody([{"pointer": "/input", "detail": "must be a JSON object or absent"}])
        for name in _FROM_LINES:
            if given.get(name) is not None:
                self._found.add(f"/input/{name}", "must be absent: the lines after the first are the items")
        given = {name: value for name, value in given.items() if name not in _FROM_LINES}
        self._raw = {**raw, "input": given}
        self._request = read_job(self._raw, [], self._rules, self._found)
        self._prompting = None if self._request is None else prompting_of(self._request)

    def _check(self, line: ItemLine) -> None:
        before = self._found.n_errors
        at = f"/input/items/{line.item_index}"
        for fault in line.faults:
            self._found.add(at + fault.pointer, f"line {line.number}: {fault.detail}")
        if line.row is not None:
            check_image(at, line.row, self._rules, self._found, f"line {line.number}: ")
        if self._found.n_errors > before:
            self._n_bad += 1
        elif line.row is not None:
            self.spool.add(line.number, line.row)

    def _check_ids(self) -> None:
        for number, row in self.spool.repeated():
            detail = f"line {number}: {row.custom_id!r} is the id of an earlier item"
            self._found.add(f"/input/items/{row.item_index}/custom_id", detail)
            self._n_bad += 1


def _first_line(why: str) -> InvalidBody:
    return InvalidBody([{"pointer": "", "detail": f"the first line {why}"}])
