"""Dagster: the masks of a bucket as an asset.

dagster asset materialize -f asset.py --select masks
"""

from dagster import AssetExecutionContext, Definitions, MaterializeResult, asset

from maskworks import Client

PREFIX = "s3://images/photos/"


@asset
def masks(context: AssetExecutionContext) -> MaterializeResult:
    """Only new images are computed: `reuse` takes over the results of earlier runs."""
    with Client() as client:
        job = client.jobs.submit(prefix=PREFIX, reuse=True, idempotency_key=f"dagster-{context.run_id}")
        context.log.info("submitted %s", job.id)
        job.wait(check=True)
        path = job.export("parquet", "masks.parquet")
    return MaterializeResult(metadata={"job": job.id, "images": job.counts.succeeded, "path": str(path)})


definitions = Definitions(assets=[masks])
