"""A receiver of webhooks on this machine, and jobs that have one."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from db.endings import stop_job
from db.statements import webhooks as sql
from db.states import JobReason, WebhookState
from db.tables import webhook_tries, webhooks
from db.webhook_secret import new_seed
from tests.jobs import submit

PLENTY = 40.0


@dataclass
class Receiver:
    """`statuses` are answered one after the other, the last one for ever. `hold` delays each answer until it is set."""

    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    url: str = ""
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def ids(self) -> set[str]:
        return {headers["webhook-id"] for headers, _ in self.seen}

    def answer(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Serve on a free port. `url` is then set."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if receiver.hold is not None:
                receiver.hold.wait(PLENTY)
            self.send_response(receiver.answer())
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield receiver
        finally:
            if receiver.hold is not None:
                receiver.hold.set()
            server.shutdown()
            thread.join()


def cancelled_job(engine: Engine, url: str, events: Sequence[str] = sql.EVENTS, tenant: str = "default") -> UUID:
    """A job with a webhook that has ended as cancelled."""
    job = submit(engine, ["s3://bucket/a.jpg"], tenant_id=tenant)
    with engine.begin() as connection:
        if connection.execute(*sql.valid_secrets(tenant)).first() is None:
            connection.execute(*sql.insert_secret(tenant, new_seed()))
        connection.execute(*sql.insert_webhook(job, url, events))
        assert stop_job(connection, job, JobReason.CANCELLED_BY_CLIENT)
    return job


def delivery(engine: Engine, job: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(webhooks).where(webhooks.c.job_id == job)).one()


def log_of(engine: Engine, job: UUID) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(select(webhook_tries).where(webhook_tries.c.job_id == job))
        return sorted(rows, key=lambda row: int(row.number))


def wait_for(what: Callable[[], bool], seconds: float = PLENTY) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


def wait_state(engine: Engine, job: UUID, state: WebhookState) -> Any:
    wait_for(lambda: delivery(engine, job).state == state)
    return delivery(engine, job)
