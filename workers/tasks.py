"""The Celery task: a shell around `Worker.serve`. Ids from Redis are looked up in Postgres, never trusted."""

import logging
from uuid import UUID

from celery import Celery

from db.states import TASK_NAME
from workers.worker import Worker

log = logging.getLogger(__name__)


def register(app: Celery, worker: Worker) -> None:
    """Give `app` the one task of this system."""

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def segment_chunk(job: str, chunk: int) -> None:
        try:
            job_id, chunk_no = UUID(job), int(chunk)
        except (ValueError, TypeError, AttributeError):
            log.error("a message names no chunk: %r %r", job, chunk)
            return
        worker.serve(job_id, chunk_no)
