"""The Celery app as a value: how worker and dispatcher speak through Redis. A message is a hint; Postgres decides.

Measured reasons are in DECISIONS.md, section "Queue".
"""

from celery import Celery
from kombu.entity import Queue

from db.states import queue_name
from workers.settings import Settings


def build_app(settings: Settings) -> Celery:
    """A Celery app for `settings`; connects only when used."""
    app = Celery("maskworks", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
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
        # A message is acknowledged when a slot takes it: from then on the lease in Postgres stands for it, and the
        # messages that Redis holds can be compared with the rows that are `dispatched`, one for one.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # For ever: a worker outlives any outage of Redis (the default gives up after 100 tries).
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A full or failing-over Redis answers READONLY / OOM as a channel error: without this the worker exits.
        broker_channel_error_retry=True,
        broker_transport_options={
            # Longer than any message waits between being reserved and being taken, the same in every process.
            "visibility_timeout": 3600,
            # Without timeouts a frozen Redis blocks a publisher for ever; above BRPOP's own second.
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "retry_on_timeout": False,
        },
        # Publishing never waits for Redis to come back: the row stays `dispatched` and is rung again.
        task_publish_retry=False,
        # Leases make these moot, and each costs Redis keys or round-trips.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
    )
    return app
