"""Add ended chunks to the tallies of their job, so that a poll need not sum all chunks of a large job."""

from sqlalchemy import Engine

from db.statements import tally
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.testing import crash_points

_TALLIED = 1000
"""Chunks a tick, two ticks a second: more than any fleet of GPUs ends."""


class Tallies:
    """`single` runs each statement in a transaction of its own."""

    def __init__(self, single: Engine, errors: UnexpectedErrors) -> None:
        self._single = single
        self._errors = errors

    def add(self) -> None:
        """Add ended chunks that are not tallied yet."""
        with self._errors.step("tallying at once"), self._single.connect() as connection:
            connection.execute(*tally.add_tallies(most=_TALLIED))
            return
        self._add_by_job()  # one row can make the statement for all jobs fail

    def _add_by_job(self) -> None:
        with self._single.connect() as connection:
            jobs = connection.execute(*tally.untallied_jobs()).scalars().all()
        for job_id in jobs:
            if self._errors.may_try(job_id):
                with self._errors.job("tallying", job_id), self._single.connect() as connection:
                    crash_points.reach("tallying", job_id)
                    connection.execute(*tally.add_tallies_of(job_id, most=_TALLIED))
