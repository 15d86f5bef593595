"""`python -m bench.instant`: what a call for one image adds to the model's own time, idle and beside a job.

It runs a stack of its own with sam_tiny, prints a table, and writes bench/results/instant.json. The target on an idle
machine: less than 60 ms added.
"""

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import skimage.data
from PIL import Image

from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack

RESULTS = Path(__file__).parent / "results" / "instant.json"
MODEL_STAGES = ("decode", "encode", "mask", "rle")
CALLS = 40
BULK_IMAGES = 400


def pictures(n: int) -> list[bytes]:
    """The same photograph with other pixels each time, so that no embedding is known."""
    made = []
    for i in range(n):
        pixels = skimage.data.astronaut()
        pixels[:8, :8] = i % 256, i // 256, 0
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, format="PNG", compress_level=1)
        made.append(out.getvalue())
    return made


def click(http: httpx.Client, image: bytes) -> dict[str, float]:
    """Milliseconds of one call: as its caller sees it, in the model, and the difference."""
    request = {"task": {"type": "prompted"}, "prompts": [{"points": [[220, 120]], "labels": [1]}]}
    files: Any = {"image": ("a.png", image), "request": (None, json.dumps(request))}
    started = time.perf_counter()
    answer = http.post("/v1/segment", files=files)
    whole = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    timings = answer.json()["timings_ms"]
    own = sum(timings[stage] for stage in MODEL_STAGES)
    return {"call": whole, "model": own, "added": whole - own}


def spread(calls: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """p50 and p95 of each column."""
    found = {}
    for name in calls[0]:
        values = [call[name] for call in calls]
        found[name] = {"p50": statistics.median(values), "p95": statistics.quantiles(values, n=20)[-1]}
    return {name: {p: round(value, 1) for p, value in row.items()} for name, row in found.items()}


def beside_a_job(running: Stack, http: httpx.Client, images: list[bytes]) -> dict[str, Any]:
    """Calls while a job computes, and how long an image of the job takes on the device."""
    access = running.stores.s3
    s3 = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    for i, image in enumerate(pictures(BULK_IMAGES)):
        s3.put_object(Bucket=running.bucket, Key=f"bulk/{i}.png", Body=image)
    body = {"task": {"type": "auto", "points_per_side": 16}, "input": {"prefix": f"s3://{running.bucket}/bulk/"}}
    path = f"/v1/jobs/{http.post('/v1/jobs', json=body).raise_for_status().json()['id']}"
    _until(lambda: http.get(path).json()["counts"]["succeeded"] > 0)
    calls = [click(http, image) for image in images]
    job = http.post(f"{path}:cancel").json()
    items = http.get(f"{path}/items", params={"state": "succeeded", "page_size": 100}).json()["items"]
    share = [item["timings_ms"]["encode"] + item["timings_ms"]["mask"] for item in items]
    return {
        "ms": spread(calls),
        "bulk_image_on_the_device_ms": {"p50": round(statistics.median(share), 1), "max": round(max(share), 1)},
        "bulk_images_done": job["counts"]["succeeded"],
    }


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise SystemExit("The job did not begin.")


def measure(calls: int) -> dict[str, Any]:
    images = pictures(2 * calls + 5)
    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as folder:
        Path(folder).chmod(0o711)
        with stack(Path(folder) / "data", models="sam_tiny") as running, running.client(timeout=60) as http:
            for image in images[:5]:
                click(http, image)
            first, again = images[5 : calls + 5], [images[5]] * calls
            load = os.getloadavg()[0]
            return {
                "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
                "load_before": round(load, 1),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "calls": calls,
                "idle_new_image": {"ms": spread([click(http, image) for image in first])},
                "idle_same_image": {"ms": spread([click(http, image) for image in again])},
                "beside_a_job": beside_a_job(running, http, images[calls + 5 :]),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="calls of each kind")
    found = measure(parser.parse_args().calls)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for name in ("idle_new_image", "idle_same_image", "beside_a_job"):
        print(name, json.dumps(found[name]))
    print(f"load before: {found['load_before']}; written to {RESULTS}")


if __name__ == "__main__":
    main()
