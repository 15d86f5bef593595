"""`python -m bench.workers`: images a second of 1, 2, 4 and 8 workers whose device needs 100 ms an image.

The device is simulated: the null model waits. Everything else is real, on this machine: S3, Redis, Postgres (durable),
the dispatcher, and the workers' own decoding and writing. Each line counts the results of the same number of seconds,
once every worker is at work. The CPU time of Postgres and of the dispatcher for an image says where they would be full,
with a core of their own.
It prints a table and writes bench/results/workers.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, text

from bench.protocol import RESULTS, cpu_seconds, service, submit
from db.engine import sync_engine
from deploy.local.stack import Stack

DELAY = 0.1
IMAGES_A_WORKER = 1 / DELAY
PARTS = ("postgres", "dispatcher", "worker")


def measure(numbers: Sequence[int], seconds: float) -> Iterator[dict[str, float]]:
    """A row for each number of workers, the smallest first; workers are added to the same service."""
    with service({"MASKWORKS_NULL_DELAY": str(DELAY), "MASKWORKS_THREADS": "1"}) as running:
        engine = sync_engine(running.stores.database_url, pool_size=1)
        for number in sorted(numbers):
            _have(running, engine, number)
            yield _row(running, engine, number, seconds)
        engine.dispose()


def _have(running: Stack, engine: Engine, number: int) -> None:
    """Until so many workers are registered."""
    while len(running.pids()["workers"]) < number:  # type: ignore[arg-type]
        running.add_worker()
    while _ask(engine, "SELECT count(*) FROM workers WHERE seen_at > now() - interval '10 s'") < number:
        time.sleep(0.2)


def _row(running: Stack, engine: Engine, number: int, seconds: float) -> dict[str, float]:
    job = submit(running, min(10_000, int(number * IMAGES_A_WORKER * (seconds + 30))))
    while _ask(engine, "SELECT count(DISTINCT worker) FROM chunks WHERE state = 'leased'") < number:
        time.sleep(0.2)
    time.sleep(3)
    cpu, began, before = cpu_seconds(running), time.monotonic(), _ask(engine, "SELECT count(*) FROM results")
    time.sleep(seconds)
    images = _ask(engine, "SELECT count(*) FROM results") - before
    took, after = time.monotonic() - began, cpu_seconds(running)
    with running.client() as client:
        client.post(f"/v1/jobs/{job}:cancel").raise_for_status()
    rate = images / took
    row = {"workers": number, "images/s": round(rate, 2), "of the devices": round(rate / number / IMAGES_A_WORKER, 3)}
    # `cpu_seconds` knows one worker of them all.
    shares = {"worker": images / number}
    return row | {f"{p} ms": round((after[p] - cpu[p]) * 1000 / shares.get(p, images), 2) for p in PARTS}


def _ask(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(sql)).scalar_one())


def extrapolate(row: dict[str, float]) -> dict[str, float]:
    """How many such workers fill one core of Postgres, and one core of the dispatcher, which uses no second one."""
    return {part: round(1000 / row[f"{part} ms"] / IMAGES_A_WORKER) for part in ("postgres", "dispatcher")}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args(words)
    rows = []
    for row in measure(given.workers, given.seconds):
        rows.append(row)
        print("   ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    found = {"rows": rows, "workers that fill one core": extrapolate(rows[-1])}
    print(f"workers that fill one core: {found['workers that fill one core']}")
    (RESULTS / "workers.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
