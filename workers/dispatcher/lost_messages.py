"""Send the messages again that Redis has lost."""

import logging
import time
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db.statements import dispatch
from workers.dispatcher.metrics import MESSAGES_REPEATED
from workers.dispatcher.sender import Message, Sender, Waiting
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.testing import crash_points

log = logging.getLogger(__name__)

_SETTLE = 1.0
"""Seconds. The message of a younger row may still be between the commit and Redis."""


class LostMessages:
    """Compares the rows that are `dispatched` with the messages that wait in Redis."""

    def __init__(self, single: Engine, sender: Sender, errors: UnexpectedErrors) -> None:
        self._single = single
        self._sender = sender
        self._errors = errors
        self._seen: Waiting | None = None

    def send_again(self) -> None:
        """Send the messages of chunks that were marked well before Redis was asked, and were not in its lists."""
        waiting = self._sender.waiting
        if waiting is None or waiting is self._seen:
            return
        self._seen = waiting
        with self._single.connect() as connection:
            age = time.monotonic() - waiting.asked + _SETTLE
            rows = connection.execute(*dispatch.announced_chunks(age_seconds=age)).all()
        lost: dict[UUID, list[Any]] = {}
        for row in rows:
            # A new leader has not looked into every queue yet.
            if row.queue in waiting.queues and (row.job_id, row.chunk_no) not in waiting.chunks:
                lost.setdefault(row.job_id, []).append(row)
        for job_id, chunks in lost.items():
            if self._errors.may_try(job_id):
                with self._errors.job("announcing again", job_id):
                    self._send_lost(job_id, chunks)

    def _send_lost(self, job_id: UUID, lost: list[Any]) -> None:
        crash_points.reach("announcing", job_id)
        with self._single.connect() as connection:
            rows = connection.execute(*dispatch.announce_again(job_id, [row.chunk_no for row in lost])).all()
        log.info("announcing %d chunks of job %s again", len(rows), job_id)
        MESSAGES_REPEATED.inc(len(rows))
        self._sender.send(Message(lost[0].queue, job_id, row.chunk_no) for row in rows)
