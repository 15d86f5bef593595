"""`python -m bench.pages`: the page of a job with 100,000 images, in Chromium, by the browser's own trace.

It fills a job on stores of its own, opens its page, and scrolls through it by the wheel, with jumps to other places. It
prints a table and writes bench/results/pages.json. The targets: a first paint within 1 s, and no task of the page's
main thread of more than 100 ms while it scrolls. It needs a Chromium and playwright.
"""

import argparse
import io
import json
import os
import platform
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import numpy as np
import skimage.data
from PIL import Image
from sqlalchemy import create_engine, text

from bench.exports import SIZE, blob, work_off
from bench.ingest import process
from bench.service import PEPPER, make_key, wait_ready
from db.migrate import migrate
from db.statements import tally
from deploy.local.postgres import API_ROLE
from deploy.local.s3 import s3_client
from deploy.local.stores import Stores, stores

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULTS: Final = Path(__file__).parent / "results" / "pages.json"
CHROMIUM: Final = ("/usr/bin/chromium", "/usr/bin/chromium-browser")
BUCKET: Final = "bench"
PICTURES: Final = 100
MASKS: Final = 8
STEPS: Final = 150
"""Turns of the wheel, and after each third of them a jump."""
CATEGORIES: Final = ["toplevel", "blink.user_timing", "loading", "devtools.timeline", "disabled-by-default-lighthouse"]
SECONDS: Final = 180
FIRST_PAINT: Final = 1000
LONGEST_TASK: Final = 100


def put_pictures(running: Stores) -> None:
    """Photographs of the size that the masks have."""
    access = running.s3
    s3 = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    s3.create_bucket(Bucket=BUCKET)
    whole = Image.fromarray(skimage.data.coffee()).resize((SIZE[1], SIZE[0]))
    for i in range(PICTURES):
        out = io.BytesIO()
        whole.rotate(3.6 * i).save(out, format="JPEG")
        s3.put_object(Bucket=BUCKET, Key=f"{i}.jpg", Body=out.getvalue())


def submit(client: httpx.Client, items: int) -> str:
    lines = ['{"task": {"type": "auto"}, "name": "many"}']
    lines += [f'{{"image": "s3://{BUCKET}/{i % PICTURES}.jpg"}}' for i in range(items)]
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/jobs", content="\n".join(lines).encode(), headers=headers).raise_for_status()
    job: str = answer.json()["id"]
    return job


def count(running: Stores) -> None:
    """Make each chunk one that was claimed and ended, and add them up as the dispatcher does."""
    engine = create_engine(running.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE chunks SET fence = 1"))
        while connection.execute(*tally.add_tallies(most=10_000)).scalar_one():
            pass
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE items, chunks"))
    engine.dispose()


@contextmanager
def serving(folder: Path, items: int) -> Iterator[tuple[str, str, str]]:
    """The API's address, a key, and the job."""
    rng = np.random.default_rng(0)
    masks = [[blob(rng) for _ in range(MASKS)] for _ in range(PICTURES)]
    with stores(folder / "data") as running, socket.socket() as free:
        migrate(running.database_url, API_ROLE)
        put_pictures(running)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        env = {**running.environment(), "MASKWORKS_BUCKETS": BUCKET, "MASKWORKS_KEY_PEPPER": PEPPER}
        key, url = make_key(running.database_url), f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {key}"}
        with (
            process(env, "api.server", "--port", str(port), "--no-access-log"),
            httpx.Client(base_url=url, headers=headers, timeout=120) as client,
        ):
            wait_ready(client)
            job = submit(client, items)
            work_off(running, job, masks, items)
            count(running)
            yield url, key, job


def measure(browser: "Browser", url: str, key: str, job: str, keep: Path | None) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{url}/#key={key}")
    page.get_by_role("heading", name="Jobs").wait_for()
    page.goto("about:blank")
    browser.start_tracing(page=page, categories=CATEGORIES)
    page.goto(f"{url}/#/jobs/{job}")
    page.locator(".thumb img").first.wait_for()
    page.evaluate("performance.mark('drawn')")
    page.evaluate("performance.mark('scroll begins')")
    cells = scroll(page)
    page.evaluate("performance.mark('scroll ends')")
    trace = browser.stop_tracing()
    if keep is not None:
        keep.write_bytes(trace)
    return figures(json.loads(trace)["traceEvents"]) | {"cells_at_most": cells}


def scroll(page: "Page") -> int:
    """Scroll as a user does. How many cells of the grid were there at most."""
    page.mouse.move(640, 500)
    cells = 0
    for step in range(STEPS):
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(30)
        if step % (STEPS // 3) == STEPS // 3 - 1:
            page.evaluate("part => scrollTo(0, part * document.documentElement.scrollHeight)", (step + 1) / STEPS)
            page.wait_for_timeout(500)
        cells = max(cells, page.locator(".cell").count())
    return cells


def figures(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds, of the process and the thread that have drawn our page."""
    marks = {event["name"]: event for event in events if "blink.user_timing" in event.get("cat", "")}
    begun = marks["scroll begins"]
    ours = [event for event in events if event["pid"] == begun["pid"]]
    navigated = next(e["ts"] for e in ours if e["name"] == "navigationStart" and "#/jobs/" in _address(e))
    painted = next(e["ts"] for e in ours if e["name"] == "firstContentfulPaint")
    tasks = [
        e["dur"] / 1000
        for e in ours
        if e["name"].endswith("RunTask") and e["tid"] == begun["tid"] and "dur" in e
        if begun["ts"] <= e["ts"] <= marks["scroll ends"]["ts"]
    ]
    return {
        "first_paint_ms": round((painted - navigated) / 1000),
        "first_image_ms": round((marks["drawn"]["ts"] - navigated) / 1000),
        "tasks": len(tasks),
        "longest_task_ms": round(max(tasks), 1),
        "tasks_over_50_ms": sum(task > 50 for task in tasks),
        "tasks_over_100_ms": sum(task > LONGEST_TASK for task in tasks),
    }


def _address(event: dict[str, Any]) -> str:
    """Of a navigation's document. The frame that was there before has none."""
    found: str = event["args"].get("data", {}).get("documentLoaderURL", "")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--trace", type=Path, help="keep the trace in this file, for chrome://tracing")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres under root runs as somebody else
        program = next(path for path in CHROMIUM if Path(path).exists())
        with serving(folder, asked.items) as where, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            found = measure(chromium, *where, asked.trace)
            chromium.close()
    print(f"{asked.items:,} images; load average before: {load:.1f} on {os.cpu_count()} CPUs")
    for what, value, most in (
        ("first paint", found["first_paint_ms"], FIRST_PAINT),
        ("first image with its masks", found["first_image_ms"], None),
        ("longest task while scrolling", found["longest_task_ms"], LONGEST_TASK),
    ):
        print(f"{what:30} {value:>8} ms{'' if most is None else f'   target {most} ms'}")
    print(f"{found['tasks']} tasks, {found['tasks_over_50_ms']} over 50 ms; {found['cells_at_most']} cells at most")
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    at = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **machine, "load_before": round(load, 1)}
    RESULTS.write_text(json.dumps({**at, "items": asked.items, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
