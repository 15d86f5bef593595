"""Attacks by the target of a webhook."""

import time

from tests.attacks.attack import Target, attack, problem


@attack("webhooks by disguised addresses, users, odd ports and schemes", "not built: NOT_SUPPORTED")
def webhook_forms(target: Target) -> str:
    target.http.post("/v1/webhook-secrets").raise_for_status()
    forms = (
        *("http://127.0.0.1:8000/", "https://localhost/", "https://127.1/", "https://0x7f.1/", "https://2130706433/"),
        *(
            "https://017700000001/",
            "https://user@example.com/",
            "https://example.com\\@127.0.0.1/",
            "file:///etc/passwd",
        ),
        *("gopher://example.com/", "https://example.com:22/", "https://[::1", "https://[fe80::1%25eth0]/", "//a.b/"),
    )
    said = ""
    for url in forms:
        said = problem(target.submit({"input": {"items": [{"image": "s3://images/a"}]}, "webhook": {"url": url}}), 422)
        assert "/webhook/url" in said, (url, said)
    return f"{len(forms)} forms, each 422: {said}"


@attack("webhooks to this machine, to its network and to the cloud's metadata", "not built: NOT_SUPPORTED")
def webhook_addresses(target: Target) -> str:
    target.http.post("/v1/webhook-secrets").raise_for_status()
    hosts = (
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]"),
    )
    said = ""
    for host in hosts:
        items = {"items": [{"image": "s3://images/a"}]}
        job = target.submit({"input": items, "webhook": {"url": f"https://{host}/"}}).raise_for_status().json()["id"]
        target.http.post(f"/v1/jobs/{job}:cancel").raise_for_status()
        said = _first_try(target, job)
        assert said.startswith("refused: "), (host, said)
    return f"{len(hosts)} addresses, none connected to: {said}"


def _first_try(target: Target, job: str, seconds: float = 60) -> str:
    """What the log of a job's webhook says of its first try."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if tries := target.http.get(f"/v1/jobs/{job}/webhook").json()["tries"]:
            return str(tries[-1]["error"])
        time.sleep(0.2)
    raise AssertionError(f"the webhook of {job} is not tried after {seconds:.0f} s")
