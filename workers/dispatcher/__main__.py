"""`python -m workers.dispatcher`: keeps workers fed and repairs what died. Run two: one leads, one stands by."""

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from prometheus_client import REGISTRY

from db.configuration import operator_errors, read_settings
from db.logs import log_to_stderr
from db.metrics_server import serve_metrics
from workers.dispatcher.leader import Dispatcher
from workers.dispatcher.settings import Settings
from workers.testing import crash_points
from workers.threads import end_process_with_any_thread


def main(_arguments: Sequence[str] = ()) -> int:
    with operator_errors():
        settings = read_settings(Settings)
    log_to_stderr(settings.log_format, "%(asctime)s %(levelname)s %(name)s %(message)s", logging.INFO)
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    crash_points.arm(settings.crash_at)
    end_process_with_any_thread()
    dispatcher = Dispatcher(settings, stop)
    REGISTRY.register(dispatcher.backlog)
    serve_metrics(settings.metrics_host, settings.metrics_port)
    dispatcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
