"""Sample how far running jobs are, so that a poll can say how fast they go now."""

import time
from typing import Final

from sqlalchemy import Engine

from db.statements import progress
from workers.dispatcher.unexpected_errors import UnexpectedErrors

_SPACING: Final = 30.0
"""Seconds between two samples of a job: ten of them are five minutes."""
_LOOK_EVERY: Final = 5.0
_MOST: Final = 1000


class ProgressSamples:
    """`single` runs each statement in a transaction of its own."""

    def __init__(self, single: Engine, errors: UnexpectedErrors) -> None:
        self._single = single
        self._errors = errors
        self._looked = -_LOOK_EVERY

    def take(self) -> None:
        """Sample the jobs that are due, and drop the samples of jobs that have ended."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        with self._errors.step("sampling progress"), self._single.connect() as connection:
            connection.execute(*progress.sample(spacing_seconds=_SPACING, most=_MOST))
            connection.execute(*progress.forget_samples())
