"""Send webhooks beside the leader's loop, a few at a time, each in a thread: a slow receiver delays no other."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from sqlalchemy import Engine, Row

from db.engine import DATABASE_ERRORS, single_statements
from db.ids import show_job_id
from db.logs import about
from db.object_uri import UriError
from db.statements import jobs
from db.statements import webhooks as sql
from db.web_url import web_url
from db.webhook_secret import secret_of
from workers.dispatcher.metrics import WEBHOOK_TRIES
from workers.dispatcher.settings import Settings
from workers.dispatcher.webhooks.message import headers, payload
from workers.dispatcher.webhooks.outcome import Outcome, next_step, retry_after
from workers.outbound.address import TargetRefused
from workers.outbound.exchange import NETWORK_ERRORS, Patience, exchange
from workers.testing import crash_points

log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5.0
_LEASE_MARGIN: Final = 15.0
_MAX_ERROR: Final = 300


class Webhooks:
    """Claims deliveries while this process leads. What another leader has claimed is fenced by its lease."""

    def __init__(self, engine: Engine, settings: Settings, leads: Callable[[], bool]) -> None:
        self._settings = settings
        self._pepper = settings.key_pepper.get_secret_value()
        self._leads = leads
        self._engine = engine
        self._single = single_statements(engine)
        self._asked = threading.Event()
        self._stopping = False
        self._free = threading.Semaphore(settings.webhooks_at_once)
        self._claimed: SimpleQueue[Row[Any] | None] = SimpleQueue()  # None ends a thread

    def start(self) -> None:
        threading.Thread(target=self._serve, name="webhooks", daemon=True).start()
        for i in range(self._settings.webhooks_at_once):
            threading.Thread(target=self._send_all, name=f"webhook-{i}", daemon=True).start()

    def ask(self) -> None:
        """There may be something to send."""
        self._asked.set()

    def stop(self) -> None:
        """Claim nothing more. What is being sent either is recorded or is sent again by another leader."""
        self._stopping = True
        self._asked.set()
        for _ in range(self._settings.webhooks_at_once):
            self._claimed.put(None)

    def _serve(self) -> None:
        while not self._stopping:
            self._asked.wait()
            self._asked.clear()
            try:
                if self._leads():
                    self._claim()
            except DATABASE_ERRORS as error:
                log.warning("the database failed while webhooks were looked for, trying again: %s", error)
            except Exception:
                log.exception("looking for webhooks failed, trying again")

    def _claim(self) -> None:
        """Claim as many as there are idle threads."""
        most = 0
        while self._free.acquire(blocking=False):
            most += 1
        rows: list[Row[Any]] = []
        try:
            if most and not self._stopping:
                rows = self._take(most)
        finally:
            for _ in range(most - len(rows)):
                self._free.release()
        for row in rows:
            self._claimed.put(row)

    def _take(self, most: int) -> list[Row[Any]]:
        lease = _CONNECT_SECONDS + self._settings.webhook_seconds + _LEASE_MARGIN
        of_tenant = -(-self._settings.webhooks_at_once // 2)
        with self._single.connect() as connection:
            connection.execute(*sql.skip_unwanted())
            claimed = connection.execute(*sql.claim(most=most, of_tenant=of_tenant, lease_seconds=lease))
            return list(claimed)

    def _send_all(self) -> None:
        while (row := self._claimed.get()) is not None:
            try:
                with about(job=show_job_id(row.job_id)):
                    self._deliver(row)
            except DATABASE_ERRORS as error:
                log.warning("a webhook of %s was not recorded, it is sent again: %s", show_job_id(row.job_id), error)
            except Exception:
                log.exception("a webhook of %s failed, it is sent again", show_job_id(row.job_id))
            finally:
                self._free.release()

    def _deliver(self, held: Row[Any]) -> None:
        """Send one event and record what came of it."""
        crash_points.reach("webhook_held", held.job_id)
        with self._single.connect() as connection:
            job = connection.execute(*jobs.job(held.tenant_id, held.job_id)).one_or_none()
            seeds = [row.seed for row in connection.execute(*sql.valid_secrets(held.tenant_id))]
        if job is None:  # deleted meanwhile
            return
        secrets = [secret_of(self._pepper, seed) for seed in seeds]
        started = time.monotonic()
        body = payload(job)
        outcome = self._send(held.url, body, headers(job, body, secrets, held.now))
        crash_points.reach("webhook_sent", held.job_id)
        state, wait = next_step(outcome, held.tries, self._settings.webhook_schedule)
        log.info("webhook of %s: %s, %s", show_job_id(held.job_id), outcome.error or outcome.status, state.value)
        recorded = sql.record(
            held.job_id,
            held.fence,
            state=state,
            status=outcome.status,
            error=outcome.error,
            ms=round((time.monotonic() - started) * 1000),
            wait=wait,
        )
        with self._engine.begin() as connection:
            connection.execute(*recorded)
        WEBHOOK_TRIES.labels(state).inc()

    def _send(self, url: str, body: bytes, sent: dict[str, str]) -> Outcome:
        private, whole = self._settings.private_targets, self._settings.webhook_seconds
        patience = Patience(_CONNECT_SECONDS, whole, whole)
        try:
            target = web_url(url, private=private)
            with exchange("POST", target, patience, private=private, headers=sent, body=body) as answer:
                return Outcome(answer.status, None, retry_after(answer.headers.get("Retry-After")))
        except (TargetRefused, UriError) as error:
            return Outcome(None, f"refused: {error}"[:_MAX_ERROR])
        except NETWORK_ERRORS as error:
            # The kind only: the text of a network error may say what is behind an address.
            return Outcome(None, f"no answer: {type(error).__name__}"[:_MAX_ERROR])
