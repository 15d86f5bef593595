"""An attack: what is sent to a running stack, what it answered once, and what it must answer now."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from PIL import Image

from deploy.local.s3 import s3_client
from deploy.local.stack import Stack

FINAL = {"succeeded", "partially_succeeded", "failed", "cancelled", "expired"}


@dataclass
class Target:
    """The running stack as its users reach it."""

    stack: Stack
    http: httpx.Client
    s3: Any
    _prefixes: int = field(default=0)

    @classmethod
    def of(cls, stack: Stack) -> "Target":
        access = stack.stores.s3
        return cls(
            stack, stack.client(timeout=60), s3_client(access.endpoint_url, access.access_key, access.secret_key)
        )

    def prefix(self) -> str:
        """A fresh prefix inside the bucket, ending in a slash."""
        self._prefixes += 1
        return f"attack-{self._prefixes}/"

    def put(self, key: str, content: bytes) -> str:
        self.s3.put_object(Bucket=self.stack.bucket, Key=key, Body=content)
        return f"s3://{self.stack.bucket}/{key}"

    def submit(self, body: dict[str, Any]) -> httpx.Response:
        return self.http.post("/v1/jobs", json={"task": {"type": "auto"}} | body)

    def items(self, *images: str, **more: Any) -> dict[str, Any]:
        """Submit a job over these images and wait for its end."""
        answer = self.submit({"input": {"items": [{"image": uri} for uri in images]}} | more)
        assert answer.status_code == 202, answer.text
        return self.done(answer.json()["id"])

    def done(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}", params={"wait": 10}).json()
            if job["done"]:
                return job
        raise AssertionError(f"{job_id} is still {job['state']} after {seconds:.0f} s")

    def item(self, job: dict[str, Any], index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/v1/jobs/{job['id']}/items/{index}").json()
        return found

    def masks(self, job: dict[str, Any], index: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(f"/v1/jobs/{job['id']}/items/{index}/masks").json()["masks"]
        return found

    def works(self) -> None:
        """A job of somebody else is served as usual."""
        job = self.items(self.put(f"{self.prefix()}plain.png", picture()), model="null")
        assert job["state"] == "succeeded", job


Check = Callable[[Target], str]


@dataclass(frozen=True)
class Attack:
    """`what` is sent; `before` is what the first release answered; `check` says what is answered now, or raises."""

    what: str
    before: str
    check: Check


ATTACKS: list[Attack] = []


def attack(what: str, before: str) -> Callable[[Check], Check]:
    """Add a row to the table."""

    def add(check: Check) -> Check:
        ATTACKS.append(Attack(what, before, check))
        return check

    return add


def picture(height: int = 32, width: int = 48, kind: str = "PNG") -> bytes:
    """A small encoded image: a bright disc on a dark ground."""
    y, x = np.ogrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2
    out = io.BytesIO()
    Image.fromarray(np.where(disc[..., None], [220, 180, 40], [30, 40, 90]).astype(np.uint8)).save(out, format=kind)
    return out.getvalue()


def problem(answer: httpx.Response, status: int, reason: str | None = None) -> str:
    """Check that a refusal is problem+json and show it in a line."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}"
    body = answer.json()
    assert reason is None or body["reason"] == reason, body
    first = body.get("errors", [{}])[0]
    return f"{status} {body['reason']} {json.dumps(first) if first else body['detail']}"
