"""The Celery task: it hands the chunk that a message names to a slot of the worker."""

from uuid import UUID

from celery import Celery

from workers.transport import TASK_NAME
from workers.worker import Worker


def register(app: Celery, worker: Worker) -> None:
    """Register the task. `workers.transport` has checked its arguments, and the claim looks them up in Postgres."""

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def segment_chunk(job: str, chunk: int) -> None:
        worker.slots.serve(UUID(job), chunk)
