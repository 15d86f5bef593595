"""What the service adds to the model: images a second through it, beside a bare loop over the same images.

Two cases: a model that takes 25 ms an image (the null model, sleeping), and `sam_tiny` on photographs. The service's
time is from the first claim to the job's end, by the database's clock. A bare loop has its images decoded, and calls
the model with its best batch size, in a process of its own: one loop with all of torch's threads, or a loop for each
core. `ratio` is the service's images/s over that of such a loop.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from sqlalchemy import text

from bench.protocol import RESULTS, cpu_seconds, wait
from db.engine import sync_engine
from deploy.local.stack import Stack, stack
from model.backends.null import NullSegmenter
from model.load import load, prepare_process
from model.spec import Automatic

STEP_SECONDS = 0.025
PHOTOGRAPHS = ("coffee.png", "astronaut.png", "chelsea.png")


def draw(folder: Path, count: int, pixels: int) -> None:
    """`count` JPEGs of different content, about `pixels` wide: a repeated one would be encoded only once."""
    random = np.random.default_rng(0)
    for i in range(count):
        photograph = Image.open(Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[i % len(PHOTOGRAPHS)])
        small = np.asarray(photograph.convert("RGB").resize((pixels, pixels * 3 // 4)), dtype=np.int16)
        noisy = np.clip(small + random.integers(-8, 9, small.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:05}.jpg", quality=90)


def bare(folder: Path, model: str, task: Automatic, loops: int) -> tuple[float, float]:
    """Seconds and processor seconds for every image of the folder, in `loops` threads that share torch's threads."""
    if model != "null":
        prepare_process("cpu", max(1, len(os.sched_getaffinity(0)) // loops))
    segmenter = NullSegmenter(STEP_SECONDS) if model == "null" else load(model)
    images = [np.array(Image.open(path)) for path in sorted(folder.glob("*.jpg"))]
    with ThreadPoolExecutor(1) as loader:
        loader.submit(segmenter.warm).result()
    size = segmenter.batch_images
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    started, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(loops) as threads:
        list(threads.map(lambda batch: segmenter.run(batch, [task] * len(batch)), batches))
    return time.perf_counter() - started, time.process_time() - used


def served(folder: Path, model: str, task: dict[str, object]) -> tuple[float, dict[str, float]]:
    """Seconds for every image of the folder, through the service with one worker, and each program's processor time."""
    names = [path.name for path in sorted(folder.glob("*.jpg"))]
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-", ignore_cleanup_errors=True) as data:
        Path(data).chmod(0o711)
        with stack(Path(data) / "data", 1, model, {"MASKWORKS_NULL_DELAY": str(STEP_SECONDS)}) as running:
            place = running.folder.path / "s3" / running.bucket / "bench"
            place.mkdir(parents=True)
            for name in names:
                (place / name).write_bytes((folder / name).read_bytes())
            time.sleep(3)  # the S3 server looks at its folder every other second
            before = cpu_seconds(running)
            seconds = _run(running, model, task, names)
            used = cpu_seconds(running)
            return seconds, {name: round(used[name] - before[name], 2) for name in used}


def _run(running: Stack, model: str, task: dict[str, object], names: list[str]) -> float:
    body = {
        "model": model,
        "task": {"type": "auto", **task},
        "input": {"items": [{"image": f"s3://{running.bucket}/bench/{name}"} for name in names]},
    }
    with running.client(timeout=120) as client:
        answer = client.post("/v1/jobs", json=body)
    if answer.status_code != 202:
        raise SystemExit(f"POST /v1/jobs: {answer.status_code} {answer.text[:500]}")
    shown = wait(running, str(answer.json()["id"]), 1200)
    if shown["state"] != "succeeded":
        raise SystemExit(f"the job ended {shown['state']}")
    engine = sync_engine(running.stores.database_url, pool_size=1)
    sql = text("SELECT extract(epoch FROM ended_at - started_at)::float FROM jobs WHERE id = :job")
    with engine.connect() as connection:
        seconds = float(connection.execute(sql, {"job": str(shown["id"]).removeprefix("job_")}).scalar_one())
    engine.dispose()
    return seconds


def compare(model: str, images: int, runs: int) -> dict[str, object]:
    """Bare loops and service in turn, `runs` times each; the medians count."""
    task: dict[str, object] = {} if model == "null" else {"points_per_side": 16}
    ways = {"one loop": 1} if model == "null" else {"one loop": 1, "a loop a core": len(os.sched_getaffinity(0))}
    rates: dict[str, list[float]] = {name: [] for name in (*ways, "service")}
    cpu: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as name:
        folder = Path(name)
        draw(folder, images, 64 if model == "null" else 640)
        for _ in range(runs):
            for way, loops in ways.items():
                seconds, cpu[way] = _bare_elsewhere(folder, model, loops)
                rates[way].append(images / seconds)
            seconds, cpu["service"] = served(folder, model, task)
            rates["service"].append(images / seconds)
            print(f"{model}: " + ", ".join(f"{way} {rate[-1]:.2f}" for way, rate in rates.items()), flush=True)
    middle = {way: statistics.median(rate) for way, rate in rates.items()}
    return {
        "images": images,
        "images_per_second": {way: round(rate, 2) for way, rate in middle.items()},
        "ratio": {way: round(middle["service"] / middle[way], 3) for way in ways},
        "cpu_seconds": cpu,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _bare_elsewhere(folder: Path, model: str, loops: int) -> tuple[float, float]:
    """`bare` in a process of its own."""
    command = [sys.executable, "-m", "bench.overhead", "--bare", str(folder), "--model", model, "--loops", str(loops)]
    seconds, used = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return seconds, round(used, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("null", "sam_tiny"), help="one case only")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--loops", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        task = Automatic() if given.model == "null" else Automatic(points_per_side=16)
        print(json.dumps(bare(given.bare, given.model, task, given.loops)))
        return 0
    cases = {"null": 1000, "sam_tiny": 24}
    found = {m: compare(m, n, given.runs) for m, n in cases.items() if given.model in (None, m)}
    print(json.dumps(found, indent=1))
    kept = RESULTS / "overhead.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    kept.write_text(json.dumps(before | found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
