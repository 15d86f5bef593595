"""Serve this process's metrics to Prometheus, on a port of their own.

Not on the API's port: metrics count every tenant's jobs, and whatever publishes the API must not publish them.
"""

import logging
from collections.abc import Callable

from prometheus_client import start_http_server

log = logging.getLogger("maskworks.metrics")


def serve_metrics(host: str, port: int | None) -> Callable[[], None]:
    """Serve `/metrics` from a thread, and return what stops it. Without a port nothing is served.

    A port that is taken is logged. A service without metrics is better than none.
    """
    if port is None:
        return _nothing
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        log.error("no metrics, %s:%d cannot be listened on: %s", host, port, error)
        return _nothing
    shown = f"[{host}]" if ":" in host else host
    log.info("metrics are at http://%s:%d/metrics", shown, server.server_port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _nothing() -> None:
    """There is nothing to stop."""
