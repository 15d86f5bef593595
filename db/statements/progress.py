"""The leader's statements that sample how far running jobs are, so that a poll can say how fast they go now."""

from typing import Final

from sqlalchemy import TextClause, text

from db.statements.bound import Bound, bound
from db.statements.tally import UNTALLIED

SAMPLES: Final = 11
"""Samples that a job keeps. Its rate is that since the oldest of them."""


def sample(*, spacing_seconds: float, most: int) -> Bound:
    """Add a sample to at most `most` running jobs whose last one is older than the spacing.

    The first sample is the job's start. A job that stood still over all samples and goes on begins anew, so that the
    pause does not count. Like a tally, it skips jobs under deletion and holds up nobody else.
    """
    return bound(_SAMPLE, spacing=spacing_seconds, most=most)


def forget_samples() -> Bound:
    """Drop the samples of jobs that have ended."""
    return bound(_FORGET)


_KEPT: Final = f"""
    CASE WHEN cardinality(p.finished) = {SAMPLES} AND p.finished[1] = p.finished[{SAMPLES}]
      AND p.finished[1] < excluded.finished[1]
    THEN {SAMPLES} ELSE greatest(1, cardinality(p.finished) - {SAMPLES - 2}) END"""
"""The first sample to keep: the last one of a job that goes on, or the oldest but one where there are enough."""
_SAMPLE: Final[TextClause] = text(
    f"""
    WITH due AS (
      SELECT j.id, j.started_at, p.job_id IS NULL AS first
      FROM jobs j LEFT JOIN progress_samples p ON p.job_id = j.id
      WHERE j.state = 'running'
        AND (p.job_id IS NULL OR p.times[cardinality(p.times)] <= clock_timestamp() - make_interval(secs => :spacing))
      ORDER BY j.id LIMIT :most FOR KEY SHARE OF j SKIP LOCKED),
    seen AS (
      SELECT id, started_at AS at, 0 AS n FROM due WHERE first
      UNION ALL
      SELECT id, clock_timestamp(), (SELECT coalesce(sum(n), 0) FROM tallies WHERE job_id = id)
        + (SELECT coalesce(sum(n_ok + n_err), 0) FROM chunks WHERE job_id = id AND {UNTALLIED})
      FROM due WHERE NOT first)
    INSERT INTO progress_samples AS p (job_id, times, finished)
    SELECT id, ARRAY[at], ARRAY[n::int] FROM seen ORDER BY id
    ON CONFLICT (job_id) DO UPDATE SET
      times = p.times[{_KEPT}:] || excluded.times, finished = p.finished[{_KEPT}:] || excluded.finished
    """
)
_FORGET: Final[TextClause] = text(
    "DELETE FROM progress_samples p USING jobs j WHERE j.id = p.job_id AND j.ended_at IS NOT NULL"
)
