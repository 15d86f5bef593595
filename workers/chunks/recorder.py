"""Write the results of a chunk: one transaction a batch, guarded by the fence."""

import logging
from typing import Any

from sqlalchemy import Connection, Engine

from db.engine import DATABASE_ERRORS, is_about_data
from db.statements import lease as sql
from db.statements.reuse import Copy, copy_results
from db.states import ItemReason
from workers.chunks.lease import Claim, LeaseLost
from workers.chunks.metrics import STORE_SECONDS, count_results
from workers.chunks.rows import result_row
from workers.failures import Failure
from workers.pipeline.ticket import Done, Failed, Model, Result, Reused
from workers.testing import crash_points

log = logging.getLogger(__name__)


class _Gone(Exception):
    """Earlier results were deleted between their look-up and their copy. The transaction is rolled back."""

    def __init__(self, indexes: set[int]) -> None:
        self.indexes = indexes


class Recorder:
    """Records the results of one claim. `missing` counts the items without a result, `computed` the results that
    were not taken over."""

    def __init__(self, engine: Engine, lease_seconds: float, claim: Claim, model: Model) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._claim = claim
        self._model = model
        self._reasons = dict(claim.reasons)
        self._suspects = [item.index for item in claim.items if item.suspect]
        self.missing = len(claim.items)
        self.computed = 0

    def write(self, batch: list[Result], inflight: set[int]) -> None:
        """Write a batch, and `inflight`, the items that are admitted and have no result yet.

        Where the database refuses the batch, each result is written by itself, so that only the one at fault fails.
        """
        if not batch:
            return
        try:
            self._commit(batch, inflight)
        except LeaseLost:
            raise
        except _Gone as gone:
            # They stay without a result, so the chunk is given back at its end, and its next holder computes them.
            self._commit([outcome for outcome in batch if outcome.index not in gone.indexes], inflight)
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                raise
            log.warning("%d results of chunk %s are refused: writing one by one", len(batch), self._claim.fence)
            for outcome in batch:
                self._write_one(outcome, inflight)

    def _write_one(self, outcome: Result, inflight: set[int]) -> None:
        try:
            self._commit([outcome], inflight)
        except LeaseLost:
            raise
        except _Gone:
            return
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                raise
            log.exception("the result of item %d of chunk %s cannot be written", outcome.index, self._claim.fence)
            failure = Failure(ItemReason.INTERNAL, f"the result cannot be written: {type(error).__name__}", True)
            self._commit([Failed(outcome.index, failure, {})], inflight)

    def _commit(self, batch: list[Result], inflight: set[int]) -> None:
        """One transaction: check the fence, add the counts, note what is in flight, insert results, end the chunk."""
        fence, indexes = self._claim.fence, [outcome.index for outcome in batch]
        reasons = dict(self._reasons)
        for outcome in batch:
            if isinstance(outcome, Failed):
                reason = outcome.failure.reason.value
                reasons[reason] = reasons.get(reason, 0) + 1
        n_ok = sum(not isinstance(outcome, Failed) for outcome in batch)
        rows = [self._row(outcome) for outcome in batch if not isinstance(outcome, Reused)]
        with STORE_SECONDS.time(), self._engine.begin() as connection:
            record = sql.record(
                fence,
                lease_seconds=self._lease_seconds,
                more_ok=n_ok,
                reasons=reasons,
                inflight=sorted(inflight),
            )
            counted = connection.execute(*record).one_or_none()
            if counted is None:
                raise LeaseLost
            if rows:
                connection.execute(*sql.insert_results(rows))
            self._take_over(connection, [outcome for outcome in batch if isinstance(outcome, Reused)])
            crash_points.reach("writing", fence.job_id)
            if self._suspects:
                connection.execute(*sql.clear_suspects(fence.job_id, indexes))
            if counted.missing == 0:
                connection.execute(*sql.complete(fence))
        self.missing, self._reasons = counted.missing, reasons
        self.computed += sum(not isinstance(outcome, Reused) for outcome in batch)
        count_results(self._claim.model, batch)

    def _take_over(self, connection: Connection, batch: list[Reused]) -> None:
        """Copy earlier results. Raises _Gone if one was deleted since it was found."""
        if not batch:
            return
        copies = [Copy(one.index, one.earlier.job_id, one.earlier.index, one.timings_ms) for one in batch]
        fence = self._claim.fence
        copy = copy_results(fence.job_id, fence=fence.fence, attempt=self._claim.attempt, copies=copies)
        crash_points.reach("copying", fence.job_id)
        found = {row.item_index for row in connection.execute(*copy)}
        if gone := {one.index for one in batch} - found:
            raise _Gone(gone)

    def _row(self, outcome: Done | Failed) -> dict[str, Any]:
        fence = self._claim.fence
        if isinstance(outcome, Done):
            crash_points.reach("packing", fence.job_id)
        return result_row(fence, self._claim.attempt, self._model, self._claim.task["type"], outcome)
