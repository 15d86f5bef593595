"""The simulation of autoscaling: its autoscaler, and a small run over the real statements."""

from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine, text

from bench.scaling.autoscaler import Autoscaler, Behaviour
from bench.scaling.plot import svg
from bench.scaling.simulate import Plan, simulate
from bench.scaling.workload import Arrival, workload
from db.engine import sync_engine


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


def test_the_autoscaler_goes_up_fast_down_slowly_and_to_zero() -> None:
    scaler = Autoscaler(Behaviour(most=50, stabilisation=300, cooldown=200))

    def run(start: int, seconds: int, wanted: int) -> list[int]:
        return [scaler.replicas(float(at), wanted) for at in range(start, start + seconds, 20)]

    assert run(0, 40, 0) == [0, 0]
    assert run(40, 140, 1000) == [1, 9, 9, 36, 36, 50, 50]
    assert set(run(180, 280, 5)) == {50}  # the last five minutes asked for more
    assert run(460, 200, 5)[::3] == [50, 38, 29, 22]
    down = run(660, 1200, 0)
    assert down[-1] == 0 and down == sorted(down, reverse=True)


def test_a_small_run(engine: Engine) -> None:
    arrivals = [
        Arrival(0, 30_000, "auto", None),
        Arrival(100, 300, "prompted", 1500.0),
        Arrival(9000, 50, "auto", None),
    ]
    plan = Plan(behaviour=replace(Behaviour(), most=20), drain=300)
    run = simulate(engine, arrivals, plan)
    found = run.summary()
    assert run.work == pytest.approx(sum(job.seconds for job in arrivals)) and run.billed > run.work
    assert (found["due"], found["late"]) == (1, 0) and 5 < found["peak_workers"] <= 20
    assert run.jobs[1].ended < run.jobs[0].ended  # type: ignore[operator]  # it did not wait for the rest of the large one
    assert run.lines[-1][1] == 0
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs WHERE state <> 'succeeded'")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM work_left()")).scalar_one() == 0
    picture = svg({"a & b": run.lines}, "title")
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_workload_is_the_same_every_time_and_has_all_images() -> None:
    jobs = workload(10_000_000, 12)
    assert jobs == workload(10_000_000, 12) and sum(job.images for job in jobs) == 10_000_000
    assert [job.at for job in jobs] == sorted(job.at for job in jobs) and any(job.due for job in jobs)
