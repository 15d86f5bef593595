"""The leader's figures of what is left, as a scrape reads them."""

from typing import Any

from sqlalchemy import Engine

from db.engine import single_statements
from db.statements import scaling
from tests.jobs import submit
from workers.dispatcher.backlog import Backlog


def test_figures_are_those_of_the_last_look_and_only_the_leaders(engine: Engine) -> None:
    submit(engine, ["s3://b/a"] * 1201, model="sam_tiny")
    with engine.begin() as connection:
        connection.execute(*scaling.keep_paces([scaling.Pace("w", "sam_tiny", "auto", 10, 20)]))
        connection.execute(*scaling.keep_paces([scaling.Pace("w", "sam_vit_h", "auto", 10, 20)]))
    backlog = Backlog(single_statements(engine))
    assert list(backlog.collect()) == []
    backlog.measure()
    submit(engine, ["s3://b/a"])
    backlog.measure()  # too soon to look again
    samples = [s for family in backlog.collect() for s in family.samples]
    idle = [s.value for s in samples if s.labels.get("model") == "sam_vit_h"]
    assert idle == [0] * 4  # said, so that an autoscaler lets its workers go
    found: dict[str, tuple[Any, ...]] = {
        s.name: (*s.labels.values(), s.value) for s in samples if s.labels.get("model") != "sam_vit_h"
    }
    assert 0 < found.pop("maskworks_oldest_job_seconds")[1] < 60
    assert found == {
        "maskworks_jobs": ("pending", 1),
        "maskworks_items_left": ("sam_tiny", 1201),
        "maskworks_work_left_seconds": ("sam_tiny", 2402),
        "maskworks_wanted_workers": ("sam_tiny", 2),
    }
    backlog.forget()
    assert list(backlog.collect()) == []
