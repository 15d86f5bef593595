"""Airflow: wait for a job without holding a worker slot. Needs `maskworks-client` where the triggerer runs.

Put this file beside a DAG, and try it with `airflow dags test segment`:

with DAG("segment", schedule=None):
    submit = PythonOperator(task_id="submit", python_callable=submit_folder, op_args=["s3://images/photos/"])
    done = MaskworksJobSensor(task_id="done", job_id=submit.output)
"""

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any

from airflow.exceptions import AirflowException
from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from maskworks import AsyncClient, Client


def submit_folder(prefix: str, ti: Any) -> str:
    """A job's id. Airflow fills in `ti`: a task that is tried again finds the job that it made before."""
    key = sha256(f"{ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index}".encode()).hexdigest()
    with Client() as client:
        return client.jobs.submit(prefix=prefix, labels={"dag": ti.dag_id[:63]}, idempotency_key=f"airflow-{key}").id


class MaskworksJobTrigger(BaseTrigger):
    """Waits for the end of a job in the triggerer."""

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "maskworks_sensor.MaskworksJobTrigger", {"job_id": self.job_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with AsyncClient() as client:
            job = await (await client.jobs.get(self.job_id)).wait()
            yield TriggerEvent({"state": job.state, "failed": job.counts.failed})


class MaskworksJobSensor(BaseSensorOperator):
    """Succeeds when every item of the job has succeeded. `allow_partial` lets some fail."""

    template_fields: Sequence[str] = ("job_id",)

    def __init__(self, *, job_id: str, allow_partial: bool = False, **more: Any) -> None:
        super().__init__(**more)
        self.job_id, self.allow_partial = job_id, allow_partial

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow gives it
        self.defer(trigger=MaskworksJobTrigger(self.job_id), method_name="finish")

    def finish(self, context: Any, event: dict[str, Any]) -> str:  # noqa: ARG002 - Airflow gives it
        good = ("succeeded", "partially_succeeded") if self.allow_partial else ("succeeded",)
        if event["state"] not in good:
            raise AirflowException(f"{self.job_id} {event['state']}, {event['failed']} items failed")
        return self.job_id
