"""`python -m bench.deaths`: what a worker loses that is killed over the windows of an image, with a real model.

An image is segmented by one worker, in windows of 512 pixels and of 64, with one thread and with two. On a
CPU each thread computes one window at a time. The worker is killed the n-th time that it has computed a window, as late
as a kill can come, and the n-th time that it begins one: at that moment the one before is finished and not yet stored.
What it had begun and not stored is computed again by the next worker. It prints the figures as JSON, and writes
bench/results/deaths.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final
from uuid import UUID

import numpy as np
import tifffile
from sqlalchemy import Engine, text

from bench.protocol import RESULTS, service
from db.engine import sync_engine
from db.ids import read_job_id
from deploy.local.stack import Stack

_WINDOWS: Final = (512, 64)
_A_SIDE: Final = 16
"""Windows along a side of the image, if they did not overlap. Then several are in a chunk."""
_THREADS: Final = (1, 2)
_KILLED: Final = (("computed", 4), ("computed", 8), ("computing", 6))
_STORED: Final = """
SELECT count(*), coalesce(avg((r.timings_ms->>'encode')::float + (r.timings_ms->>'mask')::float), 0)
FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.tile_of = :job
"""
_HELD: Final = """
SELECT coalesce(sum(cardinality(c.inflight)), 0) FROM chunks c JOIN jobs j ON j.id = c.job_id
WHERE j.tile_of = :job AND c.state = 'leased'
"""


def run(running: Stack, model: str) -> Iterator[dict[str, Any]]:
    blocks = np.random.default_rng(0).integers(0, 256, (8 * _A_SIDE, 8 * _A_SIDE, 3), np.uint8)
    for window in _WINDOWS:
        path = running.folder.path / "s3" / running.bucket / f"{window}.tif"
        pixels = np.kron(blocks, np.ones((window // 8, window // 8, 1), np.uint8))
        tifffile.imwrite(path, pixels, tile=(256, 256), compression="zlib", photometric="rgb")
    time.sleep(3)  # the S3 server looks at its folder every other second
    engine = sync_engine(running.stores.database_url, pool_size=1)
    running.stop_child("worker-1")
    for window, threads, (point, n) in product(_WINDOWS, _THREADS, _KILLED):
        yield {"window": window, "threads": threads, "killed": f"{point}:{n}"} | _killed(
            running, engine, model, window, threads, point, n
        )
    engine.dispose()


def _killed(
    running: Stack, engine: Engine, model: str, window: int, threads: int, point: str, n: int
) -> dict[str, Any]:
    """`again`: windows that were begun and are computed again. `held`: with those that were only read so far."""
    body = {
        "model": model,
        "task": {"type": "auto", "points_per_side": 16, "tile": {"size": window}},
        "input": {"items": [{"image": f"s3://{running.bucket}/{window}.tif"}]},
    }
    env = {"MASKWORKS_CRASH_AT": f"{point}:{n}", "MASKWORKS_THREADS": str(threads)}
    victim = running.add_worker(env, keep=False)
    with running.client(timeout=120) as client:
        answer = client.post("/v1/jobs", json=body)
        answer.raise_for_status()
        job = answer.json()["id"]
        while running.supervisor.exit_code(victim) is None:
            if client.get(f"/v1/jobs/{job}").json()["done"]:
                raise SystemExit(f"{job} ended before its worker was killed")
            time.sleep(0.5)
        row = read_job_id(job)
        assert row is not None
        (stored, ms), (held,) = (_ask(engine, query, row) for query in (_STORED, _HELD))
        client.post(f"/v1/jobs/{job}:cancel").raise_for_status()
    running.supervisor.stop(victim)
    # When a thread has computed its window, each other one is at its own.
    begun = n + threads - 1 if point == "computed" else n
    return {"begun": begun, "stored": stored, "again": begun - stored, "held": held, "window_ms": round(ms)}


def _ask(engine: Engine, query: str, job: UUID) -> Sequence[Any]:
    with engine.connect() as connection:
        return connection.execute(text(query), {"job": job}).one()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam_tiny", choices=["null", "sam_tiny"])
    given = parser.parse_args(words)
    deaths = []
    with service({"MASKWORKS_FETCH_SECONDS": "600"}, given.model) as running:
        for death in run(running, given.model):
            deaths.append(death)
            print(json.dumps(death), flush=True)
    found = {"model": given.model, "deaths": deaths}
    (RESULTS / "deaths.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
