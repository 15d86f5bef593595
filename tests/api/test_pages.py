"""`/` and `/docs`: everything comes from the service itself, under the strictest policy."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from api.pages import STATIC
from tests.api.conftest import Service
from tests.api.processes import served
from tools.pages import WEB, read_stamp, stamp

pytestmark = pytest.mark.anyio
CHROMIUM = next((p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if p.exists()), None)
SITE = "http://api"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


class Page(HTMLParser):
    """What a page loads, and what of it is written into the page itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "href", "action", "data", "srcset") if name in given]
        if tag == "style" or (tag == "script" and "src" not in given) or any(n.startswith("on") for n in given):
            self.inline.append(self.get_starttag_text() or tag)


def test_the_built_pages_are_those_of_the_sources() -> None:
    assert read_stamp() == stamp(), "run `make web`, which needs Node"


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert packages and [name for name, facts in packages.items() if "resolved" in facts] == []


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_loads_nothing_from_elsewhere(service: Service, path: str) -> None:
    answer = await service.client.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    assert len(page.addresses) >= 4 and page.inline == []
    for address in page.addresses:
        there = urljoin(f"{SITE}{path}", address)
        assert there.startswith(f"{SITE}/") and not urlsplit(address).netloc
        assert (await service.client.get(there)).status_code == 200, there


def test_styles_load_nothing_from_elsewhere() -> None:
    sheets = list(STATIC.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        loaded = re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", sheet.read_text())
        assert all("".join(each).startswith("data:") for each in loaded), sheet


async def test_pages_have_a_policy_without_a_hole(service: Service) -> None:
    for path in ("/", "/docs", "/static/pages/app.js", "/static/swagger-ui/swagger-ui-bundle.js", "/favicon.ico"):
        answer = await service.client.get(path)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert (answer.status_code, policy) == (200, POLICY), path


async def test_only_the_decoder_may_compile_webassembly(service: Service) -> None:
    for name in ("decoder.js", "ort-wasm-simd-threaded.mjs"):
        answer = await service.client.get(f"/static/pages/{name}")
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert (answer.status_code, policy) == (200, POLICY | {"script-src": "'self' 'wasm-unsafe-eval'"}), name


async def test_pages_are_isolated_where_the_browser_can(service: Service) -> None:
    """For threads. A browser that reached the page by plain HTTP would complain of the headers."""
    headers = ("cross-origin-opener-policy", "cross-origin-embedder-policy")
    secure = await service.client.get("/", headers={"Sec-Fetch-Dest": "document"})
    plain = await service.client.get("/")
    assert [secure.headers.get(name) for name in headers] == ["same-origin", "require-corp"]
    assert [plain.headers.get(name) for name in headers] == [None, None]


async def test_an_asset_is_sent_once(service: Service) -> None:
    first = await service.client.get("/static/swagger-ui/swagger-ui.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await service.client.get(first.url.path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["../main.py", "%2e%2e/main.py", "..%2fmain.py", "%00", "a%00b", "swagger-ui", "", "x" * 5000, "/etc"],
)
async def test_only_the_assets_are_served(service: Service, path: str) -> None:
    answer = await service.client.get(f"/static/{path}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NOT_FOUND")


async def test_behind_a_prefix_the_document_says_so(service: Service) -> None:
    app = service.client.app
    plain = (await service.client.get("/openapi.json")).json()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, root_path="/masks"), base_url=SITE) as client:
        served_below = (await client.get("/masks/openapi.json")).json()
    assert "servers" not in plain and served_below["servers"] == [{"url": "/masks"}]
    assert "servers" not in app.openapi()


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
def test_a_browser_shows_the_docs_without_a_complaint(module_database: str) -> None:
    """Any request to elsewhere, any line on the console and any answer of 400 or more fails it."""
    from playwright.sync_api import sync_playwright

    with served("api.main:create_app", module_database) as (host, port), sync_playwright() as playwright:
        site = f"http://{host}:{port}"
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
        page.set_default_timeout(60_000)
        page.goto(f"{site}/docs")
        page.locator(".opblock-summary-control").first.click()
        page.get_by_role("button", name="Authorize").first.click()
        page.locator(".close-modal").click()
        page.get_by_role("button", name="Try it out").first.click()
        page.get_by_role("button", name="Execute").first.click()
        page.get_by_text("UNAUTHENTICATED").first.wait_for()
        browser.close()
    outside = [url for url in asked if not url.startswith((f"{site}/", "data:"))]
    assert len(asked) >= 5 and outside == []
    # The 401 of the last step is what was asked for.
    assert [c for c in complaints if "/v1/jobs" not in c and "401" not in c] == []
