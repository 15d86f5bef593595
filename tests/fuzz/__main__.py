"""`make fuzz`: the whole service with jobs in it, and random requests for minutes. Ends with 1 where one is wrong."""

import argparse
import io
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack
from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="maskworks-fuzz-") as folder:
        env = {"MASKWORKS_REQUESTS_PER_MINUTE": "1000000"}
        Path(folder).chmod(0o711)  # Postgres runs as another account where this runs as root
        with stack(Path(folder) / "data", models="null", env=env, fast=True, say=print) as running:
            job_id = make_jobs(running)
            print(f"fuzzing for {options.seconds} s with --seed {options.seed}", flush=True)
            limits = f"--max-time={options.seconds // 2}", "--max-examples=10000"
            runs = [fuzz(running.api_url, running.api_key, options.seed, *limits, job_id=each) for each in (job_id, "")]
    for done in runs:
        print(done.stdout, done.stderr)
    return max(done.returncode for done in runs)


def make_jobs(running: Stack) -> str:
    """Jobs that succeed, one with a missing image, one of a prefix, one cancelled, all done. Returns one of them."""
    bucket = running.bucket
    put_images(running, 4)
    items = [{"image": f"s3://{bucket}/fuzz/{i}.png"} for i in range(5)]  # the last is not there
    prompted = [{**item, "prompts": [{"points": [[5, 5]], "labels": [1]}]} for item in items[:2]]
    with running.client() as client:
        made = [
            submit(client, {"task": {"type": "auto"}, "input": {"items": items[:4]}, "labels": {"run": "7"}}),
            submit(client, {"task": {"type": "auto"}, "input": {"items": items}}),
            submit(client, {"task": {"type": "prompted"}, "input": {"items": prompted}}),
            submit(client, {"task": {"type": "auto"}, "input": {"prefix": f"s3://{bucket}/fuzz/", "glob": "*.png"}}),
        ]
        client.post(f"/v1/jobs/{made[1]}:cancel").raise_for_status()
        until = time.monotonic() + 120
        while not all(client.get(f"/v1/jobs/{job}").json()["done"] for job in made):
            if time.monotonic() > until:
                raise TimeoutError("the jobs to be read by the fuzzer are not done after two minutes")
            time.sleep(0.2)
    return made[0]


def put_images(running: Stack, n: int) -> None:
    access = running.stores.s3
    client = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    for i in range(n):
        file = io.BytesIO()
        Image.fromarray(np.full((40, 60, 3), 50 * i, np.uint8)).save(file, "PNG")
        client.put_object(Bucket=running.bucket, Key=f"fuzz/{i}.png", Body=file.getvalue())
    client.close()


def submit(client: httpx.Client, body: dict[str, object]) -> str:
    answer = client.post("/v1/jobs", json=body)
    answer.raise_for_status()
    job_id: str = answer.json()["id"]
    return job_id


if __name__ == "__main__":
    sys.exit(main())
