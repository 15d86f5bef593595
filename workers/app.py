"""The Celery app of a worker. Messages only say that a chunk may be ready; the row in Postgres decides."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Queue

from workers.broker import URGENCIES, queue_name
from workers.settings import Settings


def build_app(settings: Settings) -> Celery:
    """A Celery app for `settings`; connects only when used."""
    app = Celery("maskworks", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        broker_transport="workers.transport:Transport",
        broker_use_ssl=_tls(settings.redis_url),
        # Ids only, as JSON: nothing from Redis is ever unpickled, nothing in Redis is state.
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        # Threads: the loop stays alive for signals while a chunk computes, and CUDA is never forked.
        worker_pool="threads",
        worker_concurrency=settings.slots,
        task_queues=[Queue(queue_name(model)) for model in settings.models],  # type: ignore[no-untyped-call]
        task_default_queue=queue_name(settings.models[0]),
        # Late and one each: a worker takes only what its slots compute, so nothing waits behind a busy worker.
        # `worker_disable_prefetch` would say the same but looks only once a second.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        # For ever: a worker outlives any outage of Redis (the default gives up after 100 tries).
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A full or failing-over Redis answers READONLY / OOM as a channel error: without this the worker exits.
        broker_channel_error_retry=True,
        broker_transport_options={
            "priority_steps": list(URGENCIES),
            # Redis keeps no copy of what a worker has taken: a lost message is announced again. With kombu's copies,
            # an acknowledgement that Redis does not answer costs the worker one of its slots for good.
            "ack_emulation": False,
            # A frozen Redis must not block for ever. Above BRPOP's own second.
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "retry_on_timeout": False,
        },
        # Leases make these moot, and each costs Redis keys or round-trips.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
    )
    return app


def _tls(redis_url: str) -> dict[str, Any] | None:
    """Kombu decides on TLS by the name of its own transport. The URL's own options (`?ssl_cert_reqs=…`) win."""
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if urlsplit(redis_url).scheme == "rediss" else None
