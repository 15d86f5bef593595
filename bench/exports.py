"""`python -m bench.exports`: download a job with a million masks as JSON lines, COCO and Parquet.

It prints a table and writes bench/results/exports.json. The targets: the memory of the API up by less than 100 MB, and
20,000 masks a second as JSON lines. pycocotools and pandas then read the files, and a sample of the masks must equal
those stored.
"""

import argparse
import json
import os
import platform
import socket
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import create_engine, insert, text

from bench.ingest import Process, process
from bench.service import PEPPER, make_key, wait_ready
from db.endings import finish_job
from db.ids import read_job_id
from db.mask_row import MaskRow
from db.migrate import migrate
from db.states import ResultState
from db.tables import results
from deploy.local.postgres import API_ROLE
from deploy.local.stores import Stores, stores
from model.masks.rle import RLE, area, bbox, decode, encode

RESULTS = Path(__file__).parent / "results" / "exports.json"
SIZE = (600, 800)
TEMPLATES = 50
"""Items with masks of their own. The others repeat them."""
SAMPLE = 200
FORMATS = ("jsonl", "coco", "parquet")


def blob(rng: "np.random.Generator") -> RLE:
    """A round mask with a wavy outline, from 5 to 100 pixels wide."""
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    dy, dx = y - rng.uniform(0, SIZE[0]), x - rng.uniform(0, SIZE[1])
    waves = 1 + 0.2 * np.sin(np.arctan2(dy, dx) * rng.integers(3, 9))
    return encode(np.hypot(dy, dx) < rng.uniform(5, 100) * waves)


def columns(rles: list[RLE]) -> dict[str, Any]:
    """The masks' columns in a row of `results`."""
    rows, at = [], 0
    for rle in rles:
        n = len(rle["counts"])
        x, y, w, h = (int(v) for v in bbox(rle))
        rows.append(MaskRow(area(rle), x, y, w, h, 0.93, 0.97, 1.5, 2.5, 0, 0, SIZE[1], SIZE[0], None, at, n))
        at += n
    return {"masks": rows, "rle": "".join(rle["counts"] for rle in rles).encode()}


def submit(client: httpx.Client, items: int) -> str:
    lines = ['{"task": {"type": "auto"}}', *(f'{{"image": "s3://bench/photos/{i:08}.jpg"}}' for i in range(items))]
    headers = {"Content-Type": "application/x-ndjson"}
    return str(
        client.post("/v1/jobs", content="\n".join(lines).encode(), headers=headers).raise_for_status().json()["id"]
    )


def work_off(running: Stores, job: str, masks: list[list[RLE]], items: int) -> None:
    """Write every result of the job, most of them as copies of the first in the database, and end it."""
    job_id = read_job_id(job)
    assert job_id is not None
    whole = {"job_id": job_id, "state": ResultState.SUCCEEDED, "fence": 1, "attempt": 1, "height": SIZE[0]}
    whole |= {"width": SIZE[1], "orientation": 1, "model": "sam_tiny", "model_revision": "r1", "precision": "exact"}
    whole |= {"timings_ms": {"queue": 1.5, "encode": 2.0}, "created_at": datetime.now(UTC)}
    names = ", ".join(f'"{column.name}"' for column in results.c if column.name != "index")
    copy = f'INSERT INTO results ("index", {names}) SELECT "index" + :by, {names} FROM results '
    engine = create_engine(running.database_url)
    with engine.begin() as connection:
        connection.execute(insert(results), [whole | {"index": i} | columns(rles) for i, rles in enumerate(masks)])
        for by in range(len(masks), items, len(masks)):
            which = {"by": by, "job": job_id, "n": min(len(masks), items - by)}
            connection.execute(text(copy + 'WHERE job_id = :job AND "index" < :n'), which)
        done = "UPDATE chunks SET state = 'done', n_ok = hi - lo WHERE job_id = :job"
        connection.execute(text(done), {"job": job_id})
        connection.execute(
            text("UPDATE jobs SET state = 'running', started_at = now() WHERE id = :job"), {"job": job_id}
        )
    with engine.begin() as connection:
        assert finish_job(connection, job_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE results"))
    engine.dispose()


def download(client: httpx.Client, api: Process, job: str, format: str, n_masks: int, to: Path) -> dict[str, Any]:
    api.watch()
    started = time.perf_counter()
    path, plain = f"/v1/jobs/{job}/results", {"Accept-Encoding": "identity"}
    with (
        client.stream("GET", path, params={"format": format}, headers=plain, timeout=60) as answer,
        to.open("wb") as file,
    ):
        answer.raise_for_status()
        for block in answer.iter_raw():
            file.write(block)
    seconds = time.perf_counter() - started
    return {
        "format": format,
        "masks": n_masks,
        "bytes": to.stat().st_size,
        "seconds": round(seconds, 1),
        "masks_per_second": round(n_masks / seconds),
        "rss_before_mib": round(api.before_mib),
        "rss_peak_mib": round(api.peak_mib),
    }


def check_jsonl(file: Path, masks: list[list[RLE]], items: int) -> None:
    n = 0
    with file.open("rb") as lines:
        for line, index in zip(lines, range(items), strict=False):
            n += 1
            if index % max(items // SAMPLE, 1) == 0:
                item = json.loads(line)
                found = [mask["segmentation"]["counts"] for mask in item["masks"]]
                assert found == [rle["counts"] for rle in masks[index % len(masks)]], index
    assert n == items


def check_coco(file: Path, masks: list[list[RLE]], items: int) -> None:
    from pycocotools.coco import COCO

    read = COCO(str(file))
    assert len(read.anns) == items * len(masks[0])
    for index in range(0, items, max(items // SAMPLE, 1)):
        annotation = read.imgToAnns[index][index % len(masks[0])]
        expected = decode(masks[index % len(masks)][index % len(masks[0])])
        assert np.array_equal(read.annToMask(annotation).astype(bool), expected), index


def check_parquet(file: Path, masks: list[list[RLE]], items: int) -> None:
    import pandas as pd

    frame = pd.read_parquet(file, columns=["item_index", "mask_id", "rle_counts"])
    assert len(frame) == items * len(masks[0])
    for index in range(0, items, max(items // SAMPLE, 1)):
        found = frame.iloc[index * len(masks[0]) : (index + 1) * len(masks[0])]
        assert set(found["item_index"]) == {index}
        assert found["rle_counts"].tolist() == [rle["counts"] for rle in masks[index % len(masks)]], index


CHECKS = {"jsonl": check_jsonl, "coco": check_coco, "parquet": check_parquet}


def measure(folder: Path, items: int, masks_each: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    masks = [[blob(rng) for _ in range(masks_each)] for _ in range(min(TEMPLATES, items))]
    with stores(folder / "data") as running:
        migrate(running.database_url, API_ROLE)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {**running.environment(), "MASKWORKS_BUCKETS": "bench", "MASKWORKS_KEY_PEPPER": PEPPER}
        key = {"Authorization": f"Bearer {make_key(running.database_url)}"}
        with (
            process(env, "api.server", "--port", str(port), "--no-access-log") as api,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key, timeout=60) as client,
        ):
            wait_ready(client)
            small = submit(client, 10)
            work_off(running, small, masks[:10], 10)
            job = submit(client, items)
            work_off(running, job, masks, items)
            rows = []
            for format in FORMATS:
                file = folder / f"results.{format}"
                download(client, api, small, format, 10 * masks_each, file)  # the code is loaded
                rows.append(download(client, api, job, format, items * masks_each, file))
                CHECKS[format](file, masks, items)
                file.unlink()
            return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--masks", type=int, default=100, help="masks of each item")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres under root runs as somebody else
        rows = measure(folder, asked.items, asked.masks)
    print(f"{'':8} {'masks':>9} {'MB':>6} {'s':>6} {'masks/s':>8} {'MiB before':>11} {'MiB at most':>12}")
    for r in rows:
        print(
            f"{r['format']:8} {r['masks']:>9} {r['bytes'] / 1e6:>6.0f} {r['seconds']:>6.1f} {r['masks_per_second']:>8}",
            end="",
        )
        print(f" {r['rss_before_mib']:>11} {r['rss_peak_mib']:>12}")
    print(f"load average before: {load:.1f} on {os.cpu_count()} CPUs")
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"at": at, **machine, "load_before": round(load, 1), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
