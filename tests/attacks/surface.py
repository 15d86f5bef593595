"""Attacks on routes, parameters and pages."""

import re
import time

import httpx

from tests.attacks.attack import Target, attack, problem


@attack("GET /docs without the internet", "a blank page: Swagger UI came from another host")
def docs(target: Target) -> str:
    page = target.http.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.split("script-src")[1].split(";")[0], policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links and not [link for link in links if "//" in link], links
    for link in links:
        assert target.http.get(link if link.startswith("/") else f"/{link}").status_code == 200, link
    return f"200 with {len(links)} assets of its own; {policy}"


@attack("GET /", "404")
def root(target: Target) -> str:
    answer = target.http.get("/", follow_redirects=True)
    assert answer.status_code == 200, answer.status_code
    return f"leads to {answer.url.path}"


@attack("the document's schema of an item", "described by the request's class of the same name")
def schemas(target: Target) -> str:
    document = target.http.get("/openapi.json").json()
    names = document["components"]["schemas"]
    page = document["paths"]["/v1/jobs/{job_id}/items"]["get"]["responses"]["200"]["content"]["application/json"]
    page_schema = names[page["schema"]["$ref"].rsplit("/", 1)[1]]
    item = names[page_schema["properties"]["items"]["items"]["$ref"].rsplit("/", 1)[1]]
    assert {"state", "mask_count", "warnings"} <= set(item["properties"]), item
    assert "409" in document["paths"]["/v1/jobs/{job_id}"]["delete"]["responses"]
    return f"{len(names)} schemas, an item has {len(item['properties'])} fields"


@attack("unknown query parameters: ?labels.run=7, ?pageSize=2", "200 with everything")
def unknown_parameters(target: Target) -> str:
    said = [
        problem(target.http.get("/v1/jobs", params=p), 422, "INVALID_PARAMETER")
        for p in ({"labels.run": "7"}, {"pageSize": "2"})
    ]
    job = "job_" + "0" * 32
    for path in (
        "/v1/models",
        f"/v1/jobs/{job}",
        f"/v1/jobs/{job}/items",
        f"/v1/jobs/{job}/results",
        "/healthz",
        "/readyz",
    ):
        problem(target.http.get(path, params={"nonsense": "1"}), 422, "INVALID_PARAMETER")
    return "; ".join(said)


@attack("OPTIONS /v1/jobs/{id}", "Allow named half of the methods")
def allow(target: Target) -> str:
    answer = target.http.request("OPTIONS", "/v1/jobs/job_" + "0" * 32)
    allowed = {name.strip() for name in answer.headers["allow"].split(",")}
    assert {"GET", "DELETE"} <= allowed, answer.headers
    return f"Allow: {answer.headers['allow']}"


@attack("a trailing slash with a foreign Host", "a redirect to that host")
def trailing_slash(target: Target) -> str:
    answer = target.http.get("/v1/jobs/", headers={"Host": "evil.example"})
    assert "location" not in answer.headers and answer.status_code == 404, answer.headers
    return problem(answer, 404)


@attack("bad keys, hundreds a second", "looked up 479 times a second without a brake")
def bad_keys(target: Target) -> str:
    said: dict[int, int] = {}
    started = time.monotonic()
    with httpx.Client(base_url=target.stack.api_url) as client:
        for i in range(300):
            key = f"mw_{i:08x}_{'x' * 43}"
            status = client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code
            said[status] = said.get(status, 0) + 1
    taken = time.monotonic() - started
    assert target.http.get("/v1/models").status_code == 200, "a good key is still served"
    assert said.get(429, 0) > 100, said
    return f"{said} in {taken:.1f} s; a good key is served meanwhile"


@attack("GET /metrics where the API is reached, without a key and with one", "would count the jobs of every tenant")
def metrics(target: Target) -> str:
    answers = [target.http.get("/metrics"), httpx.get(f"{target.stack.api_url}/metrics")]
    assert [answer.status_code for answer in answers] == [404, 404]
    return "404: metrics have a port of their own"


@attack("an X-Request-Id of 5,000 letters, and one with a quote and a space", "would be in every line of the log")
def request_ids(target: Target) -> str:
    given = ("x" * 5000, 'a" level="CRITICAL', "ok-1")
    answers = [target.http.get("/healthz", headers={"X-Request-Id": id_}) for id_ in given]
    found = [answer.headers["x-request-id"] for answer in answers]
    assert all(id_.startswith("req_") for id_ in found[:2]) and found[2] == "ok-1", found
    return "replaced by one of our own; a plain one is kept"


@attack("names of decoders that are paths", "not built")
def decoders(target: Target) -> str:
    for name in ("..%2f..%2fmodel%2fcheckpoints%2fsam_tiny", "%2fetc%2fpasswd", "sam_tiny%00", "x" * 5000):
        said = problem(target.http.get(f"/v1/models/{name}/decoders/{name}"), 404)
    return said
