"""Fill the window of each queue: the chunks whose messages are in Redis, a few for each slot of its live workers.

Postgres holds every chunk. Only the window is in Redis, so a job of a million images costs Redis a few messages.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from db.statements import dispatch
from workers.dispatcher.sender import Message, Sender, urgency
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.testing import crash_points

_LIVE = 10.0
"""Seconds. A worker that was not seen for longer gets no room in the window."""
_IDLE_WINDOW = 4
"""Messages of a queue without a live worker. The first worker to start finds work at once."""


class Windows:
    """`single` runs each statement in a transaction of its own. `per_slot`: messages for each slot of a live worker."""

    def __init__(self, single: Engine, sender: Sender, errors: UnexpectedErrors, per_slot: float) -> None:
        self._single = single
        self._sender = sender
        self._errors = errors
        self._per_slot = per_slot

    def fill(self) -> None:
        """Mark chunks `dispatched` as far as there is room, and send their messages."""
        with self._single.connect() as connection:
            windows = connection.execute(*dispatch.windows(alive_seconds=_LIVE)).all()
        self._sender.watch(frozenset(window.queue for window in windows))
        for window in windows:
            wanted = int(window.slots * self._per_slot) or _IDLE_WINDOW
            if wanted > window.dispatched:
                self._fill(window.queue, wanted - window.dispatched, -(-wanted // 2))

    def _fill(self, queue: str, room: int, each: int) -> None:
        """One job gets at most half of the window, so that the next job finds room at once."""
        rows: Sequence[Any] | None = None
        with self._errors.step("filling a window at once"), self._single.connect() as connection:
            rows = connection.execute(*dispatch.fill_window(queue, room=room, job_room=each)).all()
        if rows is None:
            rows = self._fill_by_job(queue, room, each)
        messages = [message for row in rows for message in self._messages_of(queue, row)]
        if messages:
            crash_points.reach("marked")
        self._sender.send(messages)  # committed first, then sent

    def _fill_by_job(self, queue: str, room: int, each: int) -> list[Any]:
        """Fill the window job by job, the oldest first, where one row makes the statement for all jobs fail."""
        with self._single.connect() as connection:
            jobs = connection.execute(*dispatch.open_jobs(queue)).scalars().all()
        rows: list[Any] = []
        for job_id in jobs:
            if len(rows) < room and self._errors.may_try(job_id):
                with self._errors.job("filling the window", job_id), self._single.connect() as connection:
                    rows += connection.execute(*dispatch.fill_job(job_id, room=min(each, room))).all()
        return rows

    def _messages_of(self, queue: str, row: Any) -> list[Message]:
        with self._errors.job("filling the window", row.job_id):
            crash_points.reach("filling", row.job_id)
            return [Message(queue, row.job_id, row.chunk_no, urgency(row.share))]
        return []  # it stays `dispatched`, and its message is sent later, as a lost one
