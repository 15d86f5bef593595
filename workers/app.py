"""The Celery app of a worker. Messages only say that a chunk may be ready; the row in Postgres decides."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Queue

from workers.broker import URGENCIES, queue_name
from workers.settings import Settings


def build_app(settings: Settings) -> Celery:
    """A Celery app for `settings`. It connects when it is first used."""
    app = Celery("maskworks", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        broker_transport="workers.transport:Transport",
        broker_use_ssl=_tls(settings.redis_url),
        # Messages are ids in JSON. Nothing from Redis is unpickled.
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        # With threads the main loop answers signals while a chunk computes, and CUDA is never forked.
        worker_pool="threads",
        worker_concurrency=settings.slots,
        task_queues=[Queue(queue_name(queue)) for queue in settings.queues],  # type: ignore[no-untyped-call]
        task_default_queue=queue_name(settings.queues[0]),
        # A worker takes only what its slots compute, so nothing waits behind a busy worker.
        # `worker_disable_prefetch` would say the same but looks only once a second.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        # A worker outlives any outage of Redis. The default gives up after 100 tries.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A full Redis, or one that fails over, answers with a channel error. Without this the worker exits.
        broker_channel_error_retry=True,
        broker_transport_options={
            "priority_steps": list(URGENCIES),
            # Redis keeps no copy of a message that a worker has taken: a lost one is sent again. With copies, an
            # acknowledgement that Redis does not answer costs the worker one of its slots for good.
            "ack_emulation": False,
            # A frozen Redis must not block for ever. BRPOP itself waits for one second.
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "retry_on_timeout": False,
        },
        # Leases do what these do, and each costs Redis keys or round trips.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
    )
    return app


def _tls(redis_url: str) -> dict[str, Any] | None:
    """TLS options. Kombu sets them only for transports of its own. Options in the URL (`?ssl_cert_reqs=…`) win."""
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if urlsplit(redis_url).scheme == "rediss" else None
