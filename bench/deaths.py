"""`python -m bench.deaths`: what a worker loses that is killed over the windows of an image, with a real model.

An image of 1,849 windows is segmented by one worker, which is killed when it begins to compute a window: the 5th, the
10th and so on. What it had begun and not stored is computed again by the next worker. It prints the figures as JSON,
and writes bench/results/deaths.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import tifffile
from sqlalchemy import Engine, text

from bench.protocol import RESULTS, service
from db.engine import sync_engine
from db.ids import read_job_id
from deploy.local.stack import Stack

_SIDE: Final = 2048
_BEGUN: Final = (5, 10, 15)
_STORED: Final = "SELECT count(*) FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.tile_of = :job"
_HELD: Final = """
SELECT coalesce(sum(cardinality(c.inflight)), 0) FROM chunks c JOIN jobs j ON j.id = c.job_id
WHERE j.tile_of = :job AND c.state = 'leased'
"""


def run(running: Stack, model: str) -> list[dict[str, Any]]:
    blocks = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = running.folder.path / "s3" / running.bucket / "large.tif"
    tifffile.imwrite(path, np.kron(blocks, np.ones((64, 64, 1), np.uint8)), tile=(256, 256), photometric="rgb")
    time.sleep(3)  # the S3 server looks at its folder every other second
    engine = sync_engine(running.stores.database_url, pool_size=1)
    running.stop_child("worker-1")
    found = []
    for begun in _BEGUN:
        found.append(_killed(running, engine, model, begun))
        print(json.dumps(found[-1]), flush=True)
    engine.dispose()
    return found


def _killed(running: Stack, engine: Engine, model: str, begun: int) -> dict[str, Any]:
    """`again`: windows that were begun and are computed again. `held`: with those that were only read so far."""
    body = {
        "model": model,
        "task": {"type": "auto", "points_per_side": 16, "tile": {"size": 64, "overlap": 16}},
        "input": {"items": [{"image": f"s3://{running.bucket}/large.tif"}]},
    }
    victim = running.add_worker({"MASKWORKS_CRASH_AT": f"computing:{begun}"}, keep=False)
    with running.client(timeout=120) as client:
        answer = client.post("/v1/jobs", json=body)
        answer.raise_for_status()
        while running.supervisor.exit_code(victim) is None:
            time.sleep(0.05)
        job = answer.json()["id"]
        row = read_job_id(job)
        assert row is not None
        stored, held = (_ask(engine, query, row) for query in (_STORED, _HELD))
        client.post(f"/v1/jobs/{job}:cancel").raise_for_status()
    running.supervisor.stop(victim)
    return {"begun": begun, "stored": stored, "again": begun - stored, "held": held}


def _ask(engine: Engine, query: str, job: UUID) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(query), {"job": job}).scalar_one())


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam_tiny", choices=["null", "sam_tiny"])
    given = parser.parse_args(words)
    with service({}, given.model) as running:
        found = {"model": given.model, "deaths": run(running, given.model)}
    (RESULTS / "deaths.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
