"""`python -m bench.dashboard`: run jobs on a local stack, scrape its metrics, and draw the dashboard's panels.

It writes docs/dashboard.svg. Two workers of the bundled model compute photographs, automatic and prompted; some images
are missing, and one worker is killed. The panels' expressions are those of deploy/k8s/components/dashboard, evaluated
over the scraped samples by the rules of Prometheus.
"""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench.dashboard.picture import lines, svg
from bench.dashboard.queries import Query
from bench.dashboard.series import Series
from deploy.demo.__main__ import PREFIX, upload
from deploy.demo.photographs import PHOTOGRAPHS
from deploy.local.stack import Stack, stack

ROOT: Final = Path(__file__).parents[2]
DASHBOARD: Final = ROOT / "deploy/k8s/components/dashboard/maskworks.json"
PICTURE: Final = ROOT / "docs/dashboard.svg"
SCRAPE: Final = 5.0
INTERVAL: Final = 4 * SCRAPE
"""Grafana's `$__rate_interval`: four scrapes."""
SETTINGS: Final = {"MASKWORKS_METRICS_PORT": "0", "MASKWORKS_LEASE_SECONDS": "10"}


def main() -> int:
    given = _arguments()
    series = Series()
    with tempfile.TemporaryDirectory(prefix="maskworks-dashboard-") as folder:
        Path(folder).chmod(0o711)
        with stack(Path(folder) / "stack", workers=2, env=SETTINGS, fast=True) as running, _scraping(running, series):
            upload(running)
            started = time.time()
            _play(running, given.seconds)
            ended = time.time()
    times = [started + step for step in range(0, int(ended - started), int(SCRAPE))]
    query = Query(series, stale=2.5 * SCRAPE)
    panels = [(panel, lines(panel, query, times, INTERVAL)) for panel in json.loads(DASHBOARD.read_text())["panels"]]
    title = (
        f"A run of {times[-1] - times[0]:.0f} s: two workers of sam_tiny on a processor, scraped every {SCRAPE:.0f} s"
    )
    PICTURE.write_text(svg(panels, title))
    empty = [panel["title"] for panel, drawn in panels if not drawn]
    print(f"{len(panels)} panels in {PICTURE.relative_to(ROOT)}, without data: {', '.join(empty) or 'none'}")
    return 0


def _play(running: Stack, seconds: float) -> None:
    """Automatic work, prompted work on the same images, a worker killed halfway, and a client that watches."""
    with running.client() as client:
        jobs = [_submit(client, _automatic(running, seconds)), _submit(client, _prompted(running, seconds))]
        killed = time.monotonic() + seconds / 2
        names = list(jobs)
        while names:
            job = client.get(f"/v1/jobs/{names[0]}", params={"wait": 2}).raise_for_status().json()
            client.get(f"/v1/jobs/{names[0]}/items", params={"page_size": 50}).raise_for_status()
            names = names[1:] if job["done"] else names
            if time.monotonic() > killed and (killed := float("inf")):
                running.stop_child("worker-2", hurry=True)
                threading.Timer(2 * SCRAPE, running.start_child, ["worker-2"]).start()
        for job_id in jobs:
            client.get(f"/v1/jobs/{job_id}/results").raise_for_status()
    time.sleep(2 * INTERVAL)


def _submit(client: httpx.Client, body: dict[str, Any]) -> str:
    return str(client.post("/v1/jobs", json=body).raise_for_status().json()["id"])


def _automatic(running: Stack, seconds: float) -> dict[str, Any]:
    names = [*PHOTOGRAPHS, "missing.jpg"] * int(seconds / 15)
    images = [{"image": f"s3://{running.bucket}/{PREFIX}/{name}"} for name in names]
    return {"name": "automatic", "task": {"type": "auto", "points_per_side": 16}, "input": {"items": images}}


def _prompted(running: Stack, seconds: float) -> dict[str, Any]:
    items = [
        {"image": f"s3://{running.bucket}/{PREFIX}/{name}", "prompts": [each.prompt() for each in objects]}
        for name, objects in PHOTOGRAPHS.items()
        if objects
    ]
    return {"name": "prompted", "task": {"type": "prompted"}, "input": {"items": items * int(seconds / 2)}}


@contextmanager
def _scraping(running: Stack, series: Series) -> Iterator[None]:
    """Scrape every process while the block runs, also those that are started anew."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE):
            series.scrape(_addresses(running), time.time())

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _addresses(running: Stack) -> dict[str, str]:
    """Where each process serves its metrics: the last that its log names."""
    found = {}
    for log in running.folder.logs.glob("*.log"):
        named = re.findall(r"metrics are at http://(\S+)/metrics", log.read_text(errors="replace"))
        if named:
            found[log.stem] = named[-1]
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long the work should take, about")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
