"""Attacks by tenants and keys that may do less than everything."""

import os
import subprocess
import sys

import httpx

from tests.attacks.attack import Target, attack, picture, problem
from tests.attacks.by_test import by_test

NO_JOB = "job_0198a3c2f0b47d21a5e94c0b6f3d8e17"


def _operator(target: Target, module: str, *words: str) -> str:
    """What the operator's command prints."""
    environment = {**os.environ, **target.stack.environment}
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def _client(target: Target, key: str) -> httpx.Client:
    return httpx.Client(base_url=target.stack.api_url, headers={"Authorization": f"Bearer {key.strip()}"}, timeout=60)


@attack("a mask of another tenant, or with a key that may not read, named in a prompt", "not built")
def masks(_target: Target) -> str:
    return by_test(
        "tests/api/items/test_earlier_masks.py::test_what_is_another_tenants_or_not_the_keys_does_not_exist",
        "tests/api/items/test_earlier_masks.py::test_a_request_takes_so_many_and_so_much",
    )


def new_client(target: Target, tenant: str) -> httpx.Client:
    """A client of a new tenant that may do everything."""
    _operator(target, "db.tenants", "create", tenant)
    return _client(target, _operator(target, "db.keys", "create", "--name", tenant, "--tenant", tenant))


@attack(
    "a key that may only read submits, cancels, retries, deletes and makes a secret", "every key could do everything"
)
def read_only(target: Target) -> str:
    key = _operator(target, "db.keys", "create", "--name", "reader", "--scopes", "jobs:read")
    job = f"/v1/jobs/{NO_JOB}"
    with _client(target, key) as http:
        assert http.get("/v1/jobs").status_code == 200
        calls = [("POST", "/v1/jobs"), ("POST", f"{job}:cancel"), ("POST", f"{job}:retry"), ("DELETE", job)]
        said = [problem(http.request(*call), 403, "SCOPE_MISSING") for call in calls]
        said.append(problem(http.post("/v1/webhook-secrets"), 403, "SCOPE_MISSING"))
    assert "jobs:write" in said[0] and "webhooks" in said[-1], said
    return said[0]


@attack("a tenant of one place names its neighbours: beside it, above it, by dots and by case", "all of the bucket")
def neighbours(target: Target) -> str:
    place = f"s3://{target.stack.bucket}/{target.prefix()}"
    own = target.put(f"{place.split('/', 3)[3]}a.png", picture())
    _operator(target, "db.tenants", "create", "narrow", "--allow", place)
    said = []
    with _client(target, _operator(target, "db.keys", "create", "--name", "n", "--tenant", "narrow")) as http:
        for uri in (f"{place[:-1]}2/a.png", f"{place[:-2]}", f"{place.upper().replace('S3:', 's3:')}a.png"):
            for given in ({"items": [{"image": uri}]}, {"prefix": uri}):
                answer = http.post("/v1/jobs", json={"task": {"type": "auto"}, "model": "null", "input": given})
                assert answer.status_code == 422, answer.text
                said.append(answer.json()["reason"])
        for uri in (f"{place}../a.png", f"{place}../{target.prefix()}a.png", f"{place}%2e%2e/../a.png"):
            given = {"items": [{"image": uri}]}
            answer = http.post("/v1/jobs", json={"task": {"type": "auto"}, "model": "null", "input": given})
            assert answer.status_code == 422, answer.text
            said.append(answer.json()["reason"])
        taken = http.post(
            "/v1/jobs", json={"task": {"type": "auto"}, "model": "null", "input": {"items": [{"image": own}]}}
        )
        assert taken.status_code == 202, taken.text
    return f"422 for each: {', '.join(sorted(set(said)))}; its own image is taken"


@attack(
    "a tenant of ten requests a minute sends forty by two keys, with bodies and with tricks of case", "all answered"
)
def flood(target: Target) -> str:
    _operator(target, "db.tenants", "create", "eager", "--requests-per-minute", "10")
    keys = [_operator(target, "db.keys", "create", "--name", n, "--tenant", "eager") for n in "ab"]
    calls = [("GET", "/v1/jobs"), ("HEAD", "/v1/models"), ("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{NO_JOB}")]
    said = []
    for key in keys:
        with _client(target, key) as http:
            said += [http.request(*call).status_code for call in calls * 5]
    assert said[:8] == [200, 200, 415, 404] * 2 and said[-20:] == [429] * 20, said
    target.works()
    return f"{said.count(429)} of {len(said)} are refused with 429, and others are served"
