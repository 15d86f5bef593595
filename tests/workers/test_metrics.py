"""What a worker and a dispatcher count of the jobs that they work off, as Prometheus reads it."""

import logging
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from db.metrics_server import serve_metrics
from tests.conftest import Bucket
from tests.jobs import picture, submit
from tests.workers.refusals import wait_ended
from workers.chunks.lease import claim

Samples = dict[tuple[str, frozenset[str]], float]
NAMES = "model stage state outcome reason end result method route status le gpu kind"
"""The labels of our own metrics. None of them is a job, a worker or a tenant."""
ANNOUNCED = "UPDATE chunks SET state = 'dispatched', dispatched_at = '2020-01-01' WHERE job_id = :job"


def read(url: str) -> Samples:
    families = text_string_to_metric_families(httpx.get(url).text)
    ours = [s for family in families for s in family.samples if s.name.startswith("maskworks_")]
    assert {label for sample in ours for label in sample.labels} <= set(NAMES.split())
    return {(s.name, frozenset(s.labels.values())): s.value for s in ours}


@pytest.fixture
def url(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    with caplog.at_level(logging.INFO):
        stop = serve_metrics("127.0.0.1", 0)
    yield re.findall(r"http://\S+", caplog.text)[-1]
    stop()


@pytest.mark.usefixtures("slot")
def test_what_a_job_leaves_behind(engine: Engine, bucket: Bucket, lead: Callable[..., None], url: str) -> None:
    before = read(url)
    good, missing = bucket.put("a.jpg", picture()), f"s3://{bucket.name}/no.jpg"
    died = submit(engine, [good, good, missing], size=3)
    assert claim(engine, died, 0, "dies", 0.01) is not None
    lost = submit(engine, [good], size=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE chunks SET inflight = '{1}' WHERE job_id = :job"), {"job": died})
        connection.execute(text(ANNOUNCED), {"job": lost})
    lead()
    assert [wait_ended(engine, job).state for job in (died, lost)] == ["partially_succeeded", "succeeded"]
    after = read(url)

    def more(name: str, *labels: str) -> float:
        return after.get((name, frozenset(labels)), 0) - before.get((name, frozenset(labels)), 0)

    assert more("maskworks_items_total", "computed", "") == 3
    assert more("maskworks_items_total", "failed", "OBJECT_NOT_FOUND") == 1
    assert [more("maskworks_jobs_ended_total", state) for state in ("partially_succeeded", "succeeded")] == [1, 1]
    assert more("maskworks_stage_seconds_count", "null", "fetch") == 3
    assert more("maskworks_batch_images_sum", "null") == 3 and more("maskworks_batch_seconds_total", "null") > 0
    assert more("maskworks_leases_expired_total") == more("maskworks_suspects_total") == 1
    assert more("maskworks_messages_repeated_total") == 1 <= more("maskworks_messages_total")
    assert more("maskworks_store_seconds_count") >= 2
    assert more("maskworks_chunks_total", "done") == 2
    assert after["maskworks_leading", frozenset()] == 1


def test_a_port_that_is_taken_costs_the_metrics_only(url: str, caplog: pytest.LogCaptureFixture) -> None:
    serve_metrics("127.0.0.1", int(url.split(":")[2].split("/")[0]))()
    assert "cannot be listened on" in caplog.text
