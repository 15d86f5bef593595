"""The pages in a real browser, on the whole service with sam_tiny."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from deploy.local.stack import Stack
from model.masks.rle import decode
from tests.conftest import Bucket
from tests.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

CHROMIUM = next((p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if p.exists()), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
AUTO = {"type": "auto", "points_per_side": 6, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
DRAWN = (
    "() => { const c = document.querySelectorAll('.layers canvas')[1]; const o = new OffscreenCanvas(c.width, c.height)"
    ".getContext('2d'); o.drawImage(c, 0, 0); const d = o.getImageData(0, 0, c.width, c.height).data; "
    "return Array.from({length: d.length / 4}, (_, i) => d[4 * i + 3] ? 1 : 0) }"
)
"""Where the layer of masks is not clear. A copy is read: Chromium complains of pages that read a canvas often."""
MOST_SCRIPT = 200_000
ELSEWHERE = "maskworks.test"
"""The service as another host: to the browser, plain HTTP from there is no secure context."""


@dataclass
class Browser:
    """A page of the service. `complaints` has each line of the console, each error, and each request to elsewhere."""

    page: "Page"
    site: str
    script: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def go(self, fragment: str) -> None:
        self.page.evaluate("there => { location.hash = there }", fragment)

    def watch(self) -> None:
        self.page.on("console", lambda line: self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("response", lambda answer: self._answered(answer))

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.site}/", f"blob:{self.site}/", "data:")):
            self.complaints.append(f"asks {url}")

    def _answered(self, answer: Any) -> None:
        if answer.url.endswith(".js"):
            self.script[answer.url] = len(answer.body())


@pytest.fixture(scope="module")
def browser(service: Stack) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        names = f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", names])
        page = chromium.new_page(viewport={"width": 1100, "height": 800})
        page.set_default_timeout(60_000)
        opened = Browser(page, service.api_url)
        opened.watch()
        page.goto(f"{service.api_url}/#key={service.api_key}")
        page.get_by_role("heading", name="Jobs").wait_for()
        yield opened
        chromium.close()


def png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


CAT = png(skimage.data.chelsea())


@pytest.fixture(scope="module")
def photographs(pictures: Bucket) -> str:
    """A prefix with two of them."""
    pictures.put("pages/cat.png", CAT)
    pictures.put("pages/coffee.png", png(skimage.data.coffee()))
    return f"s3://{pictures.name}/pages/"


@pytest.fixture(scope="module")
def job(browser: Browser, photographs: str) -> str:
    """Submitted from the page, and followed there to its end without a reload."""
    page = browser.page
    browser.go("#/submit")
    page.get_by_role("combobox").first.select_option("a list")
    page.get_by_role("button", name="Check").wait_for()
    images = page.get_by_label("One address on each line")
    images.fill("nothing")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("/input/items/0/image").wait_for()
    images.fill("\n".join(f"{photographs}{name}.png" for name in ("cat", "coffee", "missing")))
    for label, value in {
        "Points per side": "6",
        "Predicted IoU from": "0",
        "Stability from": "0",
        "Name": "three",
    }.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Check").click()
    page.get_by_text("The request is valid").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.locator(".title .state", has_text="partially succeeded").wait_for()
    page.wait_for_url(lambda url: "/jobs/job_" in url)
    return page.url.split("/")[-1]


def shows(locator: "Locator", count: int) -> None:
    from playwright.sync_api import expect

    expect(locator).to_have_count(count, timeout=60_000)


def checked(page: "Page") -> list[str]:
    """What axe-core finds wrong."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None
    page.evaluate((Path(spec.origin).parent / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


def masks_of(service: Stack, job: str) -> list[dict[str, Any]]:
    with service.client() as http:
        found: list[dict[str, Any]] = http.get(f"/v1/jobs/{job}/items/0/masks").json()["masks"]
    return found


def test_a_link_signs_in_and_leaves_the_address(browser: Browser, service: Stack) -> None:
    assert service.api_key not in browser.page.url


def test_files_are_uploaded_from_the_page_and_segmented(browser: Browser, service: Stack) -> None:
    page = browser.page
    browser.go("#/submit")
    page.get_by_role("combobox").first.select_option("files on this device")
    cat, submit = png(skimage.data.chelsea()[:200, :200]), page.get_by_role("button", name="Submit")
    files: list[Any] = [
        {"name": name, "mimeType": "image/png", "buffer": content}
        for name, content in (("cät 1.png", cat), ("empty.png", b""), ("b.png", png(skimage.data.coffee()[:90, :90])))
    ]
    assert submit.is_disabled()
    page.get_by_label("Drop images here").set_input_files(files)
    page.get_by_text("2 of 3 sent, 1 failed").wait_for()
    assert submit.is_disabled()
    page.get_by_label("Remove empty.png").click()
    page.get_by_text("2 of 2 sent").wait_for()
    assert checked(page) == []
    page.get_by_label("Points per side").fill("6")
    submit.click()
    page.locator(".title .state", has_text="succeeded").wait_for()
    page.wait_for_url(lambda url: "/jobs/job_" in url)
    with service.client() as http:
        items = http.get(f"/v1/jobs/{page.url.split('/')[-1]}/items").json()["items"]
    assert [item["custom_id"] for item in items] == ["cät 1.png", "b.png"]
    assert all(item["image"].startswith(f"s3://{service.bucket}/uploads/default/") for item in items)


def test_a_job_is_followed_to_its_images(browser: Browser, job: str) -> None:
    page = browser.page
    shows(page.locator(".thumb img"), 2)
    assert page.locator(".thumbnail.failed").inner_text().startswith("OBJECT_NOT_FOUND")
    page.get_by_role("link", name="OBJECT_NOT_FOUND", exact=True).click()
    shows(page.locator(".cell"), 1)
    page.get_by_text("Submit again with Python").click()
    assert "client.jobs.submit(" in page.get_by_label("Python", exact=True).inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="jsonl").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 4 and job in download.value.suggested_filename


def test_the_masks_in_the_browser_are_those_of_the_api(browser: Browser, service: Stack, job: str) -> None:
    """The layer that the browser decodes, pixel by pixel."""
    page, masks = browser.page, masks_of(service, job)
    browser.go(f"#/jobs/{job}/items/0")
    page.locator(".layers canvas").nth(2).wait_for()
    shows(page.locator(".masks li"), len(masks))
    expected = np.any([decode(mask["segmentation"]) for mask in masks], axis=0)
    wait_for(lambda: np.array_equal(np.array(page.evaluate(DRAWN), dtype=bool), expected.ravel()))


def test_a_mask_is_pointed_at_filtered_and_linked(browser: Browser, service: Stack, job: str) -> None:
    page, masks = browser.page, masks_of(service, job)
    smallest = min(masks, key=lambda mask: mask["area"])
    rows, columns = np.nonzero(decode(smallest["segmentation"]))
    height, width = smallest["segmentation"]["size"]
    box = page.locator(".layers").bounding_box()
    assert box is not None
    at = (box["x"] + (columns[0] + 0.5) * box["width"] / width, box["y"] + (rows[0] + 0.5) * box["height"] / height)
    page.mouse.move(*at)
    page.get_by_text(f"Mask {smallest['id']}: area {smallest['area']:,} px").wait_for()
    page.mouse.click(*at)
    page.wait_for_url(lambda url: url.endswith(f"?mask={smallest['id']}"))
    page.mouse.move(0, 0)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.get_by_text("Mask 0: area").wait_for()
    page.get_by_label("Area from").fill("3")
    left = sum(mask["area"] >= 1000 for mask in masks)
    page.get_by_role("heading", name=f"{left} of {len(masks)} masks").wait_for()


def test_a_grid_has_only_the_cells_in_view(browser: Browser, service: Stack) -> None:
    page = browser.page
    with service.client() as http:
        items = [{"image": f"s3://{service.bucket}/nothing/{i}.png"} for i in range(3000)]
        many = http.post("/v1/jobs", json={"task": AUTO, "input": {"items": items}}).json()["id"]
        http.post(f"/v1/jobs/{many}:cancel")
    browser.go(f"#/jobs/{many}")
    page.get_by_text("0.png", exact=True).wait_for()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.get_by_text("2999.png", exact=True).wait_for()
    assert page.locator(".cell").count() < 100


def test_a_worker_shows_what_it_works_on(browser: Browser, service: Stack, photographs: str) -> None:
    page = browser.page
    with service.client() as http:
        items = [{"image": f"{photographs}cat.png"}] * 60
        running = http.post("/v1/jobs", json={"task": AUTO, "input": {"items": items}}).json()["id"]
        browser.go("#/workers")
        page.get_by_role("link", name=running).first.wait_for()
        http.post(f"/v1/jobs/{running}:cancel")
    worker = page.locator(".card", has=page.get_by_role("heading", name="sam_tiny")).first
    worker.get_by_text("Waits for work").wait_for()
    text = worker.inner_text()
    assert "cpu" in text and "/" in text and re.search(r"\d [MG]B", text), text


def test_over_plain_http_a_link_asks_first_and_jobs_are_submitted(browser: Browser, service: Stack) -> None:
    port = service.api_url.rpartition(":")[2]
    context = browser.page.context.browser
    assert context is not None
    page = context.new_page()
    page.goto(f"http://{ELSEWHERE}:{port}/#key={service.api_key}")
    assert page.evaluate("isSecureContext") is False
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Prefix").last.fill(f"s3://{service.bucket}/nothing/")
    page.get_by_label("Labels").fill("run=7=8, plain")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(lambda url: "/jobs/job_" in url)
    with service.client() as http:
        labels = http.get(f"/v1/jobs/{page.url.split('/')[-1]}").json()["labels"]
    assert labels == {"run": "7=8", "plain": ""}
    page.close()


def opened(browser: Browser, told: str) -> tuple["Locator", Callable[[float, float], None]]:
    """A photograph in the playground: its candidates, and a click at a pixel of it. `told`: who decodes."""
    page = browser.page
    browser.go("#/jobs")
    browser.go("#/playground")
    page.get_by_label("Image", exact=True).set_input_files({"name": "cat.png", "mimeType": "image/png", "buffer": CAT})
    shows(page.locator(".layers canvas"), 3)
    page.get_by_text(told).wait_for()
    box = page.locator(".layers").bounding_box()
    assert box is not None

    def click(x: float, y: float) -> None:
        page.mouse.click(box["x"] + x * box["width"] / 451, box["y"] + y * box["width"] / 451)

    return page.get_by_role("list", name="Candidates").get_by_role("listitem"), click


def masks_of_the_service(browser: Browser, service: Stack) -> list[dict[str, Any]]:
    """The service's answer to the prompt on the page, which shows it as a job."""
    browser.page.get_by_text("JSON", exact=True).click()
    body = json.loads(browser.page.get_by_label("JSON", exact=True).inner_text())
    prompt = body["input"]["items"][0]["prompts"][0] | {"multimask": True}
    asked = {"task": {"type": "prompted"}, "prompts": [prompt]}
    files: Any = {"image": ("cat.png", CAT), "request": (None, json.dumps(asked), "application/json")}
    with service.client() as http:
        found: list[dict[str, Any]] = http.post("/v1/segment", files=files).json()["masks"]
    return found


def test_the_browsers_decoder_gives_the_masks_of_the_service(browser: Browser, service: Stack) -> None:
    page = browser.page
    candidates, click = opened(browser, "Masks are decoded in this browser.")
    assert page.evaluate("crossOriginIsolated") is True
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    click(220, 120)
    shows(candidates, 3)
    for at, mask in enumerate(masks_of_the_service(browser, service)):
        score = float(candidates.nth(at).inner_text().split("score ")[1].split()[0])
        assert score == pytest.approx(mask["predicted_iou"], abs=0.01)
        page.keyboard.press(str(at + 1))
        candidates.nth(at).locator("[aria-pressed=true]").wait_for()
        drawn, expected = np.array(page.evaluate(DRAWN), dtype=bool), decode(mask["segmentation"]).ravel().astype(bool)
        assert (drawn & expected).sum() / (drawn | expected).sum() >= 0.99
    assert checked(page) == []
    page.keyboard.press("e")
    click(10, 10)
    shows(candidates, 1)  # the chosen mask, refined
    page.keyboard.press("u")
    shows(candidates, 3)
    page.keyboard.press("b")
    box = page.locator(".layers").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.up()
    shows(candidates, 1)
    assert [url for url in asked if "/v1/" in url] == []


def test_clicks_before_the_decoder_is_there_wait_for_it(browser: Browser) -> None:
    page = browser.page
    held: list[Route] = []
    page.route("**/v1/embeddings", lambda route: held.append(route))
    candidates, click = opened(browser, "The decoder is loading.")
    click(20, 20)
    click(40, 20)
    wait_for(lambda: len(held) == 1)
    held[0].continue_()
    page.unroute("**/v1/embeddings")
    shows(candidates, 3)
    page.keyboard.press("u")  # the first click was never answered, so it is no step to go back to
    shows(page.get_by_role("heading", name="Use these prompts"), 0)


def test_without_a_decoder_the_service_answers(browser: Browser, service: Stack) -> None:
    page = browser.page

    def without_decoders(route: "Route") -> None:
        answer = route.fetch()
        models = [model | {"decoders": []} for model in answer.json()["models"]]
        route.fulfill(response=answer, json={"models": models})

    page.route("**/v1/models", without_decoders)
    candidates, click = opened(browser, "Masks are decoded by the service.")
    click(220, 120)
    shows(candidates, 3)
    for mask, told in zip(masks_of_the_service(browser, service), candidates.all_inner_texts(), strict=True):
        assert f"{mask['area']:,} px" in told and f"{mask['predicted_iou']:.3f}" in told
    page.keyboard.press("e")
    click(10, 10)
    shows(candidates, 1)
    page.keyboard.press("u")
    shows(candidates, 3)
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize(("width", "colours"), [(1100, "light"), (375, "dark")])
def test_pages_are_accessible_and_fit(
    browser: Browser, job: str, width: int, colours: Literal["light", "dark"]
) -> None:
    page = browser.page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=colours)
    ready: dict[str, Callable[[], None]] = {
        "#/jobs": page.get_by_role("link", name="three").first.wait_for,
        f"#/jobs/{job}": page.locator(".thumb img").first.wait_for,
        f"#/jobs/{job}/items/0": page.locator(".masks li").first.wait_for,
        "#/submit": page.get_by_role("textbox", name="Prefix").wait_for,
        "#/playground": page.get_by_text("Choose an image").wait_for,
        "#/workers": page.get_by_role("heading", name="sam_tiny").first.wait_for,
    }
    for fragment, wait in ready.items():
        browser.go(fragment)
        wait()
        assert checked(page) == [], fragment
        assert page.evaluate("document.documentElement.scrollWidth") <= width, fragment


def test_no_page_complained_and_scripts_are_small(browser: Browser, service: Stack) -> None:
    """After all the tests above. A missing image is answered without an error, because it is not asked for."""
    with httpx.Client() as http:
        policy = http.get(f"{service.api_url}/").headers["content-security-policy"]
    assert "unsafe" not in policy and browser.complaints == []
    assert browser.script and sum(browser.script.values()) <= MOST_SCRIPT, json.dumps(browser.script)
