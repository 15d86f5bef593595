"""Prefect: segment a prefix and keep the COCO file. Run it with `python flow.py s3://images/photos/`."""

import sys
from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run

from maskworks import AsyncClient


@task
async def submit(prefix: str) -> str:
    """One job a flow run, also where the task is retried."""
    async with AsyncClient() as client:
        job = await client.jobs.submit(prefix=prefix, idempotency_key=f"prefect-{flow_run.id}")
        return job.id


@task(retries=3, retry_delay_seconds=60)
async def masks(job_id: str, path: Path) -> str:
    """The state in which the job ended. Waiting again costs nothing: the job goes on by itself."""
    async with AsyncClient() as client:
        job = await (await client.jobs.get(job_id)).wait()
        await job.export("coco", path)
        return job.state


@flow
async def segment(prefix: str, path: Path = Path("masks.json")) -> Path:
    job_id = await submit(prefix)
    state = await masks(job_id, path)
    if state != "succeeded":
        raise RuntimeError(f"{job_id} {state}: see `maskworks results {job_id} --state failed`")
    return path


if __name__ == "__main__":
    import asyncio

    print(asyncio.run(segment(sys.argv[1])))
