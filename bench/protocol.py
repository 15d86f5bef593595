"""Measure the service without a network: items a second through one worker with the null model.

    python -m bench.protocol throughput     items a second, and the CPU time of each program for an item
    python -m bench.protocol fairness       a small job alone, and beside a large one
    python -m bench.protocol million        polls of a job of a million items beside a busy worker

Images are JPEGs of 32×32 pixels. Postgres is durable (`synchronous_commit` and `fsync` are on). `throughput` runs an
automatic and a prompted job, each with S3 and without it (objects come from memory).
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import redis
from PIL import Image
from sqlalchemy import Engine, text

from db.engine import sync_engine
from db.ids import new_job_id, show_job_id
from deploy.local.stack import Stack, stack

RESULTS = Path(__file__).with_name("results")
OBJECTS = 64
_TICKS = os.sysconf("SC_CLK_TCK")


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="JPEG")
    return out.getvalue()


@contextmanager
def service(env: dict[str, str] | None = None, model: str = "null") -> Iterator[Stack]:
    """One worker, a model, a durable Postgres, pictures in the bucket."""
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with stack(Path(folder) / "data", 1, model, env) as running:
            put_pictures(running)
            yield running


def put_pictures(running: Stack) -> None:
    for i in range(OBJECTS):
        path = running.folder.path / "s3" / running.bucket / "tiles" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(i))
    time.sleep(3)  # the S3 server looks at its folder every other second


def submit(running: Stack, items: int, task: str = "auto") -> str:
    """A job through the front door; returns its id. A prompted one has a box an image, and larger chunks."""
    each = {"prompts": [{"id": "p", "box": [4, 4, 20, 20]}]} if task == "prompted" else {}
    images = [{"image": f"s3://{running.bucket}/tiles/{i % OBJECTS}.jpg"} | each for i in range(items)]
    body = {"model": "null", "task": {"type": task}, "input": {"items": images}}
    with running.client(timeout=120) as client:
        answer = client.post("/v1/jobs", json=body)
    if answer.status_code != 202:
        raise SystemExit(f"POST /v1/jobs: {answer.status_code} {answer.text[:500]}")
    return str(answer.json()["id"])


def wait(running: Stack, job: str, seconds: float = 600) -> dict[str, object]:
    """The job once it is done."""
    deadline = time.monotonic() + seconds
    with running.client(timeout=90) as client:
        while time.monotonic() < deadline:
            shown: dict[str, object] = client.get(f"/v1/jobs/{job}", params={"wait": 30}).json()
            if shown["done"]:
                return shown
    raise SystemExit(f"{job} is not done after {seconds:.0f} s")


def cpu_seconds(running: Stack) -> dict[str, float]:
    """User and system time so far of each program with its children."""
    pids = running.pids()
    flat = {name: pid for name, pid in pids.items() if isinstance(pid, int)} | {"worker": pids["workers"][0]}  # type: ignore[index]
    return {name: sum(_ticks(pid) for pid in _family(pid)) / _TICKS for name, pid in flat.items()}


def _family(parent: int) -> list[int]:
    """A process and its children: Postgres serves each connection by one."""
    members = [parent]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[1]) == parent:
            members.append(int(stat.parent.name))
    return members


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def throughput(items: int, task: str, without_s3: bool) -> dict[str, object]:
    """Items a second between the first claim and the job's end, by the database's clock."""
    with service() as running:
        if without_s3:
            use_memory(running)
        wait(running, submit(running, 1000, task))  # warm
        before = cpu_seconds(running)
        job = submit(running, items, task)
        shown = wait(running, job)
        after = cpu_seconds(running)
        engine = sync_engine(running.stores.database_url, pool_size=1)
        measured = _measure(engine, job)
        engine.dispose()
    if shown["state"] != "succeeded":
        raise SystemExit(f"the job ended {shown['state']}")
    cost = {name: round((after[name] - before[name]) * 1e6 / items) for name in after}
    return {"task": task, "without_s3": without_s3, "cpu_us_an_item": cost} | measured


def use_memory(running: Stack) -> None:
    """Replace the worker by one whose fetch answers from memory."""
    running.stop_child("worker-1")
    command = running._stopped.pop("worker-1")
    argv = tuple("bench.without_s3" if word == "workers.main" else word for word in command.argv)
    running.supervisor.start(type(command)(**{**vars(command), "argv": argv}))
    engine = sync_engine(running.stores.database_url, pool_size=1)
    pid = running.supervisor.pid("worker-1")
    with engine.connect() as connection:
        while not connection.execute(text("SELECT 1 FROM workers WHERE id LIKE :pid"), {"pid": f"%-{pid}"}).scalar():
            time.sleep(0.1)
            connection.rollback()
    engine.dispose()


def _measure(engine: Engine, job: str) -> dict[str, object]:
    sql = text(
        "SELECT extract(epoch FROM ended_at - started_at)::float AS seconds, n_items, chunk_size "
        "FROM jobs WHERE id = :job"
    )
    timings = text(
        "SELECT key, avg(value::float) AS ms FROM results, jsonb_each_text(timings_ms) WHERE job_id = :job GROUP BY key"
    )
    with engine.connect() as connection:
        shown = {"job": job.removeprefix("job_")}
        row = connection.execute(sql, shown).one()
        stages = {key: round(ms, 2) for key, ms in connection.execute(timings, shown)}
        durable = connection.execute(text("SHOW synchronous_commit")).scalar_one()
    return {
        "items_per_second": round(row.n_items / row.seconds, 1),
        "seconds": round(row.seconds, 2),
        "chunk_size": row.chunk_size,
        "mean_ms": stages,
        "synchronous_commit": durable,
    }


def fairness() -> dict[str, object]:
    """A job of 20 images alone, then while one of 100,000 runs: one worker, 100 ms an image."""
    with service({"MASKWORKS_NULL_DELAY": "0.1"}) as running:
        wait(running, submit(running, 20))  # warm
        alone = [_timed(running) for _ in range(3)]
        submit(running, 100_000)
        time.sleep(8)
        beside = [_timed(running) for _ in range(5)]
    worst = max(beside) / (sum(alone) / len(alone))
    return {"alone_seconds": alone, "beside_seconds": beside, "worst_ratio": round(worst, 2)}


def _timed(running: Stack) -> float:
    started = time.monotonic()
    wait(running, submit(running, 20))
    return round(time.monotonic() - started, 2)


_MILLION = (
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size) "
    "VALUES (:job, 'default', 'pending', 'null', '{\"type\": \"auto\"}', '{\"items\": 1000000}', 1000000, 16)",
    "INSERT INTO items (job_id, index, custom_id, image) SELECT :job, n, n::text, "
    "'s3://images/tiles/' || n % 64 || '.jpg' FROM generate_series(0, 999999) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi) SELECT :job, n, n * 16, n * 16 + 16 "
    "FROM generate_series(0, 62499) n",
)


def million(seconds: float) -> dict[str, object]:
    """A job of a million items, a part of it run: the dispatcher's memory, Redis' memory, what a poll takes."""
    job = new_job_id()
    with service() as running:
        engine = sync_engine(running.stores.database_url, pool_size=1)
        with engine.begin() as connection:
            for sql in _MILLION:
                connection.execute(text(sql), {"job": job})
        before = _resident(running, "dispatcher")
        polls = _poll(running, show_job_id(job), seconds)
        with engine.connect() as connection:
            done = connection.execute(
                text("SELECT count(*) FROM results WHERE job_id = :job"), {"job": job}
            ).scalar_one()
        engine.dispose()
        with redis.Redis.from_url(running.stores.redis_url) as client:
            used = int(client.info("memory")["used_memory_peak"])
        after = _resident(running, "dispatcher")
    return {
        "items_done": done,
        "dispatcher_mb": [round(before / 2**20, 1), round(after / 2**20, 1)],
        "redis_peak_mb": round(used / 2**20, 2),
        "polls": len(polls),
        "poll_ms": {"p50": _quantile(polls, 0.5), "p99": _quantile(polls, 0.99)},
    }


def _poll(running: Stack, job: str, seconds: float) -> list[float]:
    """Milliseconds of each of ten polls a second, from a client with a kept connection: the standard library's, whose
    own 0.3 ms of CPU are in them (httpx takes several times that)."""
    taken = []
    until = time.monotonic() + seconds
    with closing(HTTPConnection(urlsplit(running.api_url).netloc, timeout=30)) as client:
        while time.monotonic() < until:
            started = time.monotonic()
            client.request("GET", f"/v1/jobs/{job}", headers={"Authorization": f"Bearer {running.api_key}"})
            answer = client.getresponse()
            answer.read()
            taken.append((time.monotonic() - started) * 1000)
            if answer.status != 200:
                raise SystemExit(f"GET of a job: {answer.status}")
            time.sleep(0.1)
    return sorted(taken)


def _quantile(taken: list[float], part: float) -> float:
    return round(taken[min(len(taken) - 1, int(len(taken) * part))], 2)


def _resident(running: Stack, name: str) -> int:
    pages = Path(f"/proc/{running.supervisor.pid(name)}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", default=["throughput", "fairness", "million"])
    parser.add_argument("--items", type=int, default=10_000)
    given = parser.parse_args()
    found: dict[str, object] = {}
    if "throughput" in given.part:
        runs = [(task, without) for task in ("auto", "prompted") for without in (False, True)]
        found["throughput"] = [throughput(given.items, task, without) for task, without in runs]
    if "fairness" in given.part:
        found["fairness"] = fairness()
    if "million" in given.part:
        found["million"] = million(60)
    print(json.dumps(found, indent=1))
    kept = RESULTS / "protocol.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    kept.write_text(json.dumps(before | found, indent=1) + "\n")  # parts that were not run stay
    return 0


if __name__ == "__main__":
    sys.exit(main())
