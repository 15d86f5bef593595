"""What the dispatcher counts: messages, repairs, webhooks and its own errors."""

from typing import Final

from prometheus_client import Counter, Gauge

LEADING: Final = Gauge("maskworks_leading", "1 in the dispatcher that leads, 0 in one that stands by.")
LEASES_EXPIRED: Final = Counter("maskworks_leases_expired", "Chunks taken back from workers that fell silent.")
SUSPECTS: Final = Counter("maskworks_suspects", "Images that were in flight when a worker died. Each runs alone next.")
MESSAGES: Final = Counter("maskworks_messages", "Messages sent to Redis.")
MESSAGES_REPEATED: Final = Counter("maskworks_messages_repeated", "Messages sent again, because Redis had lost them.")
REDIS_FAILURES: Final = Counter("maskworks_redis_failures", "Tries at which Redis did not answer the dispatcher.")
WEBHOOK_TRIES: Final = Counter(
    "maskworks_webhook_tries",
    "Tries to deliver a webhook, by what followed (delivered, pending: another try, failed, disabled).",
    ["outcome"],
)
for _outcome in ("delivered", "pending", "failed", "disabled"):  # from 0 on, so that Prometheus sees the first
    WEBHOOK_TRIES.labels(_outcome)
JOBS_REMOVED: Final = Counter("maskworks_jobs_removed", "Jobs removed because of their age.")
ERRORS: Final = Counter("maskworks_dispatcher_errors", "Unexpected errors in the leader's loop.")
