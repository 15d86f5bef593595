"""`python -m deploy.demo` (`make demo`): the whole service once, on photographs, over its own REST API.

It starts the local stack, uploads photographs, submits an automatic and a prompted job, draws the masks, and stops
everything. Exit code 0 means that all of it worked.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo.drawing import draw
from deploy.demo.photographs import PHOTOGRAPHS, folder
from deploy.local.__main__ import progress, stop_at_signals
from deploy.local.errors import StackError, tail
from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack

PREFIX = "photographs"
JOB_SECONDS = 240.0
WORK = ("fetch", "decode", "encode", "mask", "rle", "store")


@dataclass(frozen=True)
class Finished:
    """A job that succeeded: `lines` are its items with their masks, `coco` is the job as COCO JSON."""

    title: str
    lines: list[dict[str, Any]]
    coco: bytes
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".maskworks/demo"), help="data folder of its stack")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where overlays and COCO JSON go")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    stop_at_signals()
    try:
        with stack(options.data, say=progress(console)) as running:
            show(running, options.out, console)
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"The demo failed. {error}")
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. Everything is stopped.")
        return 130
    return 0


def show(running: Stack, out: Path, console: Console) -> None:
    """Run both jobs and write what they found. Raises StackError if anything is not as it should be."""
    upload(running)
    with running.client() as client:
        jobs = [run(running, client, title, body, console) for title, body in bodies(running)]
        warning = about_weights(client)
    out.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        write(job, out)
        console.print(table(job))
    if warning:
        console.print(f"\n[bold yellow]{warning}[/]")
    console.print(f"\nThe pictures and the COCO files are in {out.resolve()}.\n")


def upload(running: Stack) -> None:
    access = running.stores.s3
    client = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    for name in PHOTOGRAPHS:
        client.upload_file(str(folder() / name), running.bucket, f"{PREFIX}/{name}")
    client.close()


def bodies(running: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """The two jobs, as a client would POST them."""
    prefix = f"s3://{running.bucket}/{PREFIX}/"
    yield "automatic", {"name": "everything", "task": {"type": "auto"}, "input": {"prefix": prefix}}
    items = [
        {"custom_id": name, "image": prefix + name, "prompts": [each.prompt() for each in objects]}
        for name, objects in PHOTOGRAPHS.items()
        if objects
    ]
    yield "prompted", {"name": "objects", "task": {"type": "prompted"}, "input": {"items": items}}


def run(running: Stack, client: httpx.Client, title: str, body: dict[str, Any], console: Console) -> Finished:
    """Submit, watch, fetch."""
    start = time.monotonic()
    job = answer(client.post("/v1/jobs", json=body)).json()
    job = watch(running, client, job["id"], title, console)
    seconds = time.monotonic() - start
    if job["state"] != "succeeded":
        raise StackError(
            f"The {title} job ended as {job['state']}: {job['error'] or job['failures']}\n{worker_log(running)}"
        )
    results = f"/v1/jobs/{job['id']}/results"
    text = answer(client.get(results, params={"format": "jsonl"})).text
    lines = [line for line in map(json.loads, text.splitlines()) if "job" not in line]
    if sorted(name_of(line) for line in lines) != expected(title):
        raise StackError(f"The {title} job has results of {sorted(name_of(line) for line in lines)} only.")
    if not any(line["masks"] for line in lines):
        raise StackError(f"The {title} job found nothing in any of the {len(lines)} pictures.")
    coco = answer(client.get(results, params={"format": "coco"})).content
    return Finished(title, lines, coco, seconds)


def watch(running: Stack, client: httpx.Client, job_id: str, title: str, console: Console) -> dict[str, Any]:
    """Follow a job to its end by the API's long poll, and show a bar."""
    deadline = time.monotonic() + JOB_SECONDS
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task(title, total=None)
        etag = ""
        while True:
            polled = client.get(f"/v1/jobs/{job_id}", params={"wait": 5}, headers={"If-None-Match": etag})
            running.supervisor.wait_for_failure(0)
            if polled.status_code != httpx.codes.NOT_MODIFIED:
                job: dict[str, Any] = answer(polled).json()
                etag = polled.headers["ETag"]
                counts = job["counts"]
                bars.update(bar, total=counts["total"] or None, completed=counts["succeeded"] + counts["failed"])
                if job["done"]:
                    return job
            if time.monotonic() > deadline:
                raise StackError(
                    f"The {title} job has not ended after {JOB_SECONDS:.0f} seconds.\n{worker_log(running)}"
                )


def answer(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise StackError(f"{response.request.method} {response.url} answered {response.status_code}: {response.text}")
    return response


def worker_log(running: Stack) -> str:
    log = running.folder.logs / "worker-1.log"
    return f"--- the end of {log} ---\n{tail(log)}"


def name_of(line: dict[str, Any]) -> str:
    return str(line["image"]).rsplit("/", 1)[1]


def expected(title: str) -> list[str]:
    return sorted(name for name, objects in PHOTOGRAPHS.items() if objects or title == "automatic")


def about_weights(client: httpx.Client) -> str:
    """A warning about the bundled model, whose masks are worse than those of the published weights."""
    models = answer(client.get("/v1/models")).json()["models"]
    if not any(model["name"] == "sam_tiny" and model["loaded"] for model in models):
        return ""
    return "sam_tiny is small and was trained for a few hours. Its masks are rough. Use it to try things out."


def write(job: Finished, out: Path) -> None:
    """Write the pictures and the COCO file of one job, and delete those of an earlier run."""
    for old in (*out.glob(f"{job.title}-*.png"), *out.glob(f"{job.title}.coco.json")):
        old.unlink()
    (out / f"{job.title}.coco.json").write_bytes(job.coco)
    for line in job.lines:
        masks = [mask["segmentation"] for mask in line["masks"]]
        name = name_of(line)
        draw(folder() / name, masks, out / f"{job.title}-{Path(name).stem}.png")


def table(job: Finished) -> Table:
    shown = Table(title=f"{job.title}: {len(job.lines)} images in {job.seconds:.1f} s", title_justify="left")
    for heading, justify in (("image", "left"), ("size", "right"), ("masks", "right"), ("seconds", "right")):
        shown.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for line in sorted(job.lines, key=name_of):
        height, width = line["size"]
        spent = sum(line["timings_ms"].get(step, 0) for step in WORK) / 1000
        shown.add_row(name_of(line), f"{width}x{height}", str(len(line["masks"])), f"{spent:.2f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
