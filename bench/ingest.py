"""`python -m bench.ingest`: measure a million items from a manifest, one whose reader is killed, and a body.

It prints a table and writes bench/results/ingest.json. The targets on two idle cores: the manifest in under 60 s, and
the memory of each process up by less than 100 MB.
"""

import argparse
import gzip
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.service import PEPPER, make_key, wait_ready
from db.migrate import migrate
from deploy.local.postgres import API_ROLE
from deploy.local.s3 import s3_client
from deploy.local.stores import Stores, stores

RESULTS = Path(__file__).parent / "results" / "ingest.json"
BUCKET = "bench"
_MIB = 1024


@dataclass
class Process:
    """A process of the service, and the most memory that it had."""

    popen: "subprocess.Popen[bytes]"
    before_mib: float = 0
    peak_mib: float = 0

    def watch(self) -> None:
        self.before_mib = self.peak_mib = self._rss()

        def look() -> None:
            while self.popen.poll() is None:
                self.peak_mib = max(self.peak_mib, self._rss())
                time.sleep(0.1)

        threading.Thread(target=look, daemon=True).start()

    def _rss(self) -> float:
        try:
            status = Path(f"/proc/{self.popen.pid}/status").read_text()
        except OSError:
            return 0
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return int(found[0]) / _MIB if found else 0


@contextmanager
def process(env: dict[str, str], *words: str) -> Iterator[Process]:
    """A program of the service. It is ended with the block."""
    popen = subprocess.Popen([sys.executable, "-m", *words], env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        yield Process(popen)
    finally:
        popen.terminate()
        popen.wait(30)


def lines(n: int) -> Iterator[bytes]:
    """A piece of a thousand lines at a time."""
    for start in range(0, n, 1000):
        of_piece = range(start, min(n, start + 1000))
        yield "".join(
            f'{{"custom_id": "item {i}", "image": "s3://{BUCKET}/some/folder/{i:08}.jpg"}}\n' for i in of_piece
        ).encode()


def wait_ingested(client: httpx.Client, job: str, at_least: int | None = None) -> dict[str, Any]:
    """Until the job is ingested, or has `at_least` so many items."""
    while True:
        shown: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        if shown["state"] != "ingesting" or (at_least is not None and shown["counts"]["total"] >= at_least):
            return shown
        time.sleep(0.05)


def submit_manifest(client: httpx.Client, name: str) -> str:
    body = {"model": "null", "task": {"type": "auto"}, "input": {"manifest": f"s3://{BUCKET}/{name}"}}
    return str(client.post("/v1/jobs", json=body).raise_for_status().json()["id"])


def row(name: str, n: int, seconds: float, of: Process) -> dict[str, Any]:
    memory = {"rss_before_mib": round(of.before_mib), "rss_peak_mib": round(of.peak_mib)}
    return {"name": name, "items": n, "seconds": round(seconds, 1), "items_per_second": round(n / seconds), **memory}


def from_manifest(client: httpx.Client, env: dict[str, str], n: int) -> dict[str, Any]:
    with process(env, "workers.dispatcher") as dispatcher:
        wait_ingested(client, submit_manifest(client, "few.jsonl"))
        dispatcher.watch()
        started = time.perf_counter()
        shown = wait_ingested(client, submit_manifest(client, "many.jsonl"))
        taken = time.perf_counter() - started
        assert (shown["state"], shown["counts"]["total"]) == ("pending", n), shown
    return row("manifest, in the dispatcher", n, taken, dispatcher)


def killed_half_way(client: httpx.Client, env: dict[str, str], n: int) -> dict[str, Any]:
    started = time.perf_counter()
    job = submit_manifest(client, "many.jsonl.gz")
    with process(env, "workers.dispatcher") as first:
        read = wait_ingested(client, job, n // 2)["counts"]["total"]
        first.popen.kill()
        first.popen.wait()
    assert 0 < read < n, read
    with process(env, "workers.dispatcher") as second:
        wait_ingested(client, job, read + 1)
        second.watch()
        shown = wait_ingested(client, job)
        taken = time.perf_counter() - started
    assert (shown["state"], shown["counts"]["total"]) == ("pending", n), shown
    return row(f"manifest, gzip, killed at {read:,}", n, taken, second)


def from_body(client: httpx.Client, api: Process, n: int) -> dict[str, Any]:
    def body() -> Iterator[bytes]:
        yield b'{"model": "null", "task": {"type": "auto"}}\n'
        yield from lines(n)

    headers = {"Content-Type": "application/x-ndjson"}
    client.post("/v1/jobs", content=b'{"model":"null","task":{"type":"auto"}}\n' + next(lines(1000)), headers=headers)
    api.watch()
    started = time.perf_counter()
    shown = client.post("/v1/jobs", content=body(), headers=headers, timeout=600).raise_for_status().json()
    taken = time.perf_counter() - started
    assert (shown["state"], shown["counts"]["total"]) == ("pending", n), shown
    return row("ndjson body, in the API", n, taken, api)


def put_manifests(running: Stores, n: int) -> None:
    s3 = s3_client(running.s3.endpoint_url, running.s3.access_key, running.s3.secret_key)
    s3.create_bucket(Bucket=BUCKET)
    content = b"".join(lines(n))
    s3.put_object(Bucket=BUCKET, Key="few.jsonl", Body=next(lines(1000)))
    s3.put_object(Bucket=BUCKET, Key="many.jsonl", Body=content)
    s3.put_object(Bucket=BUCKET, Key="many.jsonl.gz", Body=gzip.compress(content, 1))


def check_items(running: Stores, n: int) -> None:
    """Every job has each index and each id once."""
    from sqlalchemy import create_engine, text

    engine = create_engine(running.database_url)
    counted = "SELECT count(*), count(DISTINCT custom_id), min(index), max(index) FROM items GROUP BY job_id"
    with engine.connect() as connection:
        found = {tuple(counts) for counts in connection.execute(text(counted))}
    engine.dispose()
    assert found == {(n, n, 0, n - 1), (1000, 1000, 0, 999)}, found


def run(n: int) -> dict[str, Any]:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres under root runs as somebody else
        with stores(folder / "data") as running:
            migrate(running.database_url, API_ROLE)
            put_manifests(running, n)
            env = {**running.environment(), "MASKWORKS_BUCKETS": BUCKET, "MASKWORKS_KEY_PEPPER": PEPPER}
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            words = ("api.server", "--port", str(port), "--no-access-log")
            key = {"Authorization": f"Bearer {make_key(running.database_url)}"}
            with (
                process({**env, "MASKWORKS_MODELS": "null"}, *words) as api,
                httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key, timeout=60) as client,
            ):
                wait_ready(client)
                rows = [from_manifest(client, env, n), killed_half_way(client, env, n), from_body(client, api, n)]
            check_items(running, n)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **machine, "load_before": load, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    result = run(parser.parse_args().items)
    print(f"{'':42} {'items':>9} {'s':>7} {'items/s':>8} {'MiB before':>11} {'MiB at most':>12}")
    for r in result["rows"]:
        print(f"{r['name']:42} {r['items']:>9} {r['seconds']:>7.1f} {r['items_per_second']:>8}", end="")
        print(f" {r['rss_before_mib']:>11} {r['rss_peak_mib']:>12}")
    print(f"load average before: {result['load_before']:.1f} on {result['cpus']} CPUs")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
