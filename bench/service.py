"""`python -m bench.service`: measure the API over HTTP, on a durable Postgres.

It prints a table and writes bench/results/service.json. The targets on an idle machine: a GET of a job under 20 ms at
p99, and 10,000 items in a body accepted in under 3 s.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from db.api_key import new_key
from db.migrate import migrate
from db.statements.keys import insert_key
from deploy.local.postgres import API_ROLE
from deploy.local.stores import stores

RESULTS = Path(__file__).parent / "results" / "service.json"
PEPPER = "of the benchmark"
READS = 1000
SUBMITS = 5
ITEMS = 10_000


def body(n: int, *, prompted: bool = False) -> dict[str, Any]:
    prompts = {"prompts": [{"points": [[500, 375]], "labels": [1]}, {"box": [425, 600, 700, 875]}]} if prompted else {}
    items = [{"image": f"s3://bucket/some/folder/{i:08}.jpg", **prompts} for i in range(n)]
    return {"task": {"type": "prompted" if prompted else "auto"}, "input": {"items": items}}


@contextmanager
def front_door(database_url: str, redis_url: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "api.server", "--port", str(port), "--no-access-log"]
    env = {
        **os.environ,
        "MASKWORKS_DATABASE_URL": database_url,
        "MASKWORKS_API_ROLE": API_ROLE,
        "MASKWORKS_REDIS_URL": redis_url,  # requests are counted, and none is refused
        "MASKWORKS_REQUESTS_PER_MINUTE": "1000000",
        "MASKWORKS_KEY_PEPPER": PEPPER,
    }
    process = subprocess.Popen([sys.executable, *words], env=env, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_ready(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("The API did not become ready.")


def make_key(database_url: str) -> str:
    from sqlalchemy import create_engine

    engine, key = create_engine(database_url), new_key()
    with engine.begin() as connection:
        connection.execute(*insert_key(key, pepper=PEPPER, name="bench", tenant="default"))
    engine.dispose()
    return str(key)


def timed(call: Callable[[], httpx.Response], times: int, expect: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        answer = call()
        taken.append((time.perf_counter() - start) * 1e3)
        if answer.status_code != expect:
            raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}")
    return taken


def row(name: str, taken: list[float]) -> dict[str, Any]:
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    shown = {"p50_ms": statistics.median(ordered), "p99_ms": p99, "max_ms": ordered[-1]}
    return {"name": name, "n": len(ordered), **{k: round(v, 2) for k, v in shown.items()}}


def measure(client: httpx.Client) -> list[dict[str, Any]]:
    small = client.post("/v1/jobs", json=body(2)).headers["location"]
    timed(lambda: client.get(small), 20, 200)  # connections, prepared statements
    rows = [row("GET /healthz", timed(lambda: client.get("/healthz"), READS, 200))]
    rows.append(row("GET job of 2 items", timed(lambda: client.get(small), READS, 200)))
    sent: list[str] = []
    for prompted in (False, True):
        content = json.dumps(body(ITEMS, prompted=prompted)).encode()

        def submit(content: bytes = content) -> httpx.Response:
            headers = {"Content-Type": "application/json"}
            answer = client.post("/v1/jobs", content=content, headers=headers, timeout=60)
            sent.append(answer.headers["location"])
            return answer

        kind = "prompted" if prompted else "automatic"
        rows.append(row(f"POST {ITEMS:,} {kind} items, {len(content) / 1e6:.1f} MB", timed(submit, SUBMITS, 202)))
    rows.append(row(f"GET job of {ITEMS:,} items", timed(lambda: client.get(sent[0]), READS, 200)))
    rows.append(row("GET jobs, 12 of them", timed(lambda: client.get("/v1/jobs"), 100, 200)))
    rows.append(row("GET 100 items", timed(lambda: client.get(f"{sent[0]}/items"), 100, 200)))
    return rows


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres under root runs as somebody else
        with stores(folder / "data") as running:
            migrate(running.database_url, API_ROLE)
            key = make_key(running.database_url)
            with (
                front_door(running.database_url, running.redis_url) as url,
                httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client,
            ):
                wait_ready(client)
                load = os.getloadavg()[0]
                rows = measure(client)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **machine, "load_before": load, "rows": rows}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    result = run()
    print(f"{'':42} {'n':>5} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9}")
    for r in result["rows"]:
        print(f"{r['name']:42} {r['n']:>5} {r['p50_ms']:>9.2f} {r['p99_ms']:>9.2f} {r['max_ms']:>9.2f}")
    print(f"load average before: {result['load_before']:.1f} on {result['cpus']} CPUs")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
