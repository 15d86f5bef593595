"""The Celery task: a shell around `Worker.slots`. Ids from Redis are looked up in Postgres, never trusted."""

from uuid import UUID

from celery import Celery

from workers.transport import TASK_NAME
from workers.worker import Worker


def register(app: Celery, worker: Worker) -> None:
    """Give `app` the one task of this system. `workers.transport` has checked its arguments."""

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def segment_chunk(job: str, chunk: int) -> None:
        worker.slots.serve(UUID(job), chunk)
