"""The leader's statement that adds ended chunks to their job's tally, so that a poll need not read every chunk."""

from typing import Final

from sqlalchemy import Boolean, ColumnElement, TextClause, literal_column, text

_UNTALLIED = "NOT chunks.tallied AND (chunks.fence > 1 OR chunks.fence = 1 AND chunks.state <> 'cancelled')"
UNTALLIED: Final[ColumnElement[bool]] = literal_column(f"({_UNTALLIED})", Boolean)
"""The predicate of the index `chunks_untallied`, word for word: bound values would hide it from a generic plan."""

SUCCEEDED: Final = ""
"""The `reason` of a tally of successes."""


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


TALLY: Final = _tally("")
"""Add at most `most` ended chunks to the tallies of their jobs, once each; returns how many.

One statement marks the chunks and adds their counts: a crash does neither. It waits for nobody (SKIP LOCKED) but a
second leader at the same tally, where the order of the rows lets one go first. It holds chunks that nobody writes any
more, and of the job a key share, which stops its deletion and nothing else: no claim, finish or cancel.
"""

TALLY_JOB: Final = _tally("AND chunks.job_id = :job")
"""The same for one job, where another's row makes `TALLY` fail."""

UNTALLIED_JOBS: Final[TextClause] = text(
    f"""
    SELECT DISTINCT chunks.job_id FROM chunks
    WHERE {_UNTALLIED} AND chunks.state IN ('done', 'dead', 'cancelled') ORDER BY chunks.job_id LIMIT 1000
    """
)
"""Jobs that `TALLY` has something to add for."""
