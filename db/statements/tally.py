"""The leader's statements that add up the counts of ended chunks, so that a poll need not read every chunk."""

from typing import Final
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, TextClause, literal_column, text

from db.statements.bound import Bound, bound

_UNTALLIED = "NOT chunks.tallied AND (chunks.fence > 1 OR chunks.fence = 1 AND chunks.state <> 'cancelled')"
UNTALLIED: Final[ColumnElement[bool]] = literal_column(f"({_UNTALLIED})", Boolean)
"""The predicate of the index `chunks_untallied`, word for word: bound values would hide it from a generic plan."""

SUCCEEDED: Final = ""
"""The `reason` of a tally of successes."""


def add_tallies(*, most: int) -> Bound:
    """Add at most `most` ended chunks to the tallies of their jobs, each once. Returns how many.

    One statement marks the chunks and adds their counts, so a crash does neither or both. It skips locked rows, and
    waits only for a second leader at the same tally; both take the rows in the same order, so one of them goes first.
    It locks chunks that nobody writes any more and takes a key share of the job, which stops its deletion but no claim,
    finish or cancel.
    """
    return bound(_ADD_TALLIES, most=most)


def add_tallies_of(job_id: UUID, *, most: int) -> Bound:
    """The same for one job; for when the row of one job fails `add_tallies`."""
    return bound(_ADD_TALLIES_OF, most=most, job=job_id)


def untallied_jobs() -> Bound:
    """Jobs that `add_tallies` has something to add for."""
    return bound(_UNTALLIED_JOBS)


def _tally(of: str) -> TextClause:
    return text(
        f"""
        WITH ended AS (
          SELECT chunks.job_id, chunk_no FROM chunks JOIN jobs j ON j.id = chunks.job_id
          WHERE {_UNTALLIED} AND chunks.state IN ('done', 'dead', 'cancelled') {of}
          LIMIT :most
          FOR KEY SHARE OF j SKIP LOCKED FOR NO KEY UPDATE OF chunks SKIP LOCKED),
        counted AS (
          UPDATE chunks c SET tallied = true FROM ended e
          WHERE c.job_id = e.job_id AND c.chunk_no = e.chunk_no AND NOT c.tallied
          RETURNING c.job_id, c.n_ok, c.reasons),
        added AS (
          INSERT INTO tallies AS t (job_id, reason, n)
          SELECT job_id, reason, sum(n) FROM (
            SELECT job_id, '' AS reason, n_ok AS n FROM counted
            UNION ALL SELECT job_id, r.key, r.value::int FROM counted, jsonb_each_text(reasons) r) each
          GROUP BY job_id, reason HAVING sum(n) > 0 ORDER BY job_id, reason
          ON CONFLICT (job_id, reason) DO UPDATE SET n = t.n + excluded.n)
        SELECT count(*) FROM counted
        """
    )


_ADD_TALLIES: Final = _tally("")
_ADD_TALLIES_OF: Final = _tally("AND chunks.job_id = :job")
_UNTALLIED_JOBS: Final[TextClause] = text(
    f"""
    SELECT DISTINCT chunks.job_id FROM chunks
    WHERE {_UNTALLIED} AND chunks.state IN ('done', 'dead', 'cancelled') ORDER BY chunks.job_id LIMIT 1000
    """
)
