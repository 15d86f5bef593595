"""`python -m bench.browser`: from a click in the playground to its mask on the screen, decoded by the browser.

It runs a stack of its own with sam_tiny, and Chromium. The decoder of the published size has random weights and a
random embedding. Its masks mean nothing and take as long as real ones. It prints a table and writes
bench/results/browser.json.
"""

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.data
from PIL import Image

from deploy.local.stack import Stack, stack
from model.export.onnx_file import export
from model.weights.seeding import build

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

RESULTS = Path(__file__).parent / "results" / "browser.json"
CLICKS = 40
WARM = 3
SEEDED = "0" * 12
PUBLISHED = "mobile_sam"
"""The decoder of every published model has this size."""
TIMES = "performance.getEntriesByName('click to mask').map((entry) => entry.duration)"


def photograph() -> bytes:
    out = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).save(out, format="PNG")
    return out.getvalue()


@contextmanager
def playground(chromium: "Browser", running: Stack, decoder: bytes | None = None) -> Iterator["Page"]:
    """A page with the photograph in it. A decoder in the place of the model's own comes with a random embedding."""
    page = chromium.new_context(viewport={"width": 1100, "height": 800}).new_page()
    if decoder is not None:
        replace(page, decoder)
    page.goto(f"{running.api_url}/#key={running.api_key}")
    page.get_by_role("link", name="Playground").click()
    page.get_by_label("Image", exact=True).set_input_files(
        {"name": "cat.png", "mimeType": "image/png", "buffer": photograph()}
    )
    page.get_by_text("Masks are decoded in this browser.").wait_for()
    yield page
    page.context.close()


def replace(page: "Page", decoder: bytes) -> None:
    values = np.random.default_rng(0).standard_normal((256, 64, 64)).astype("<f2").tobytes()
    height, width = skimage.data.chelsea().shape[:2]
    headers = {
        "ETag": f'"photograph-sam_tiny-{SEEDED}-exact"',
        "X-Embedding-Shape": "256,64,64",
        "X-Image-Size": f"{height},{width}",
    }

    def models(route: "Route") -> None:
        answer = route.fetch()
        (model,) = answer.json()["models"]
        workers = [worker | {"revision": SEEDED} for worker in model["workers"]]
        route.fulfill(response=answer, json={"models": [model | {"workers": workers, "decoders": [SEEDED]}]})

    page.route("**/v1/models", models)
    page.route("**/decoders/*", lambda route: route.fulfill(body=decoder))
    page.route("**/v1/embeddings", lambda route: route.fulfill(body=values, headers=headers))


def times(page: "Page", clicks: int) -> dict[str, float]:
    """Milliseconds of first clicks, each on its own: from the pointer's event to the painted canvas."""
    box = page.locator(".layers").bounding_box()
    assert box is not None
    places = np.random.default_rng(1).uniform(0.1, 0.9, (clicks + WARM, 2))
    for n, (x, y) in enumerate(places):
        page.keyboard.press("Escape")
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        while page.evaluate(f"{TIMES}.length") <= n:  # `wait_for_function` needs eval, which the page's policy forbids
            page.wait_for_timeout(10)
    found = page.evaluate(TIMES)[WARM:]
    return {
        "p50": round(statistics.median(found), 1),
        "p95": round(statistics.quantiles(found, n=20)[-1], 1),
        "max": round(max(found), 1),
    }


def measure(clicks: int, path: str) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="maskworks-bench-") as folder, sync_playwright() as playwright:
        Path(folder).chmod(0o711)
        seeded = Path(folder) / "decoder.onnx"
        export(build(PUBLISHED, seed=0), SEEDED, seeded)
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        load = os.getloadavg()[0]
        with stack(Path(folder) / "data", models="sam_tiny") as running:
            with playground(chromium, running) as page:
                tiny, isolated = times(page, clicks), page.evaluate("crossOriginIsolated")
            with playground(chromium, running, seeded.read_bytes()) as page:
                published = times(page, clicks)
        version = chromium.version
        chromium.close()
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "browser": f"Chromium {version}",
        "threads": min(4, os.cpu_count() or 1) if isolated else 1,
        "load_before": round(load, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "clicks": clicks,
        "click_to_mask_ms": {"sam_tiny": tiny, "published decoder, random weights": published},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=CLICKS, help="clicks with each decoder")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser's program")
    given = parser.parse_args()
    found = measure(given.clicks, given.chromium)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for name, row in found["click_to_mask_ms"].items():
        print(f"{name:36} {json.dumps(row)}")
    print(f"{found['threads']} threads, load before {found['load_before']}; written to {RESULTS}")


if __name__ == "__main__":
    main()
