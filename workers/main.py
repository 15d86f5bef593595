"""`celery -A workers.main worker`: one process, one set of models, one GPU. Settings are read here, once."""

import logging
import os
import sys
from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from prometheus_client import REGISTRY

from db.configuration import EXIT_CONFIGURATION, operator_errors, read_settings
from db.engine import DATABASE_ERRORS
from db.logs import log_to_stderr
from db.metrics_server import serve_metrics
from db.traces import start_traces
from model.errors import ModelError
from workers.app import build_app
from workers.gpu import GpuCollector, Gpus
from workers.settings import Settings
from workers.tasks import register
from workers.testing import crash_points
from workers.threads import end_process_with_any_thread
from workers.worker import Worker

log = logging.getLogger(__name__)

with operator_errors():
    settings = read_settings(Settings)
    send_last_spans = start_traces(settings.tracing, "worker")
crash_points.arm(settings.crash_at)
end_process_with_any_thread()
app = build_app(settings)
worker = Worker(settings)
register(app, worker)


@worker_init.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    """Load the models before Celery connects to Redis, so that no message is taken until they are warm."""
    log_to_stderr(settings.log_format, "%(asctime)s %(levelname)s %(name)s %(message)s", logging.INFO)
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)  # Celery's two lines a message add nothing to our own
    REGISTRY.register(GpuCollector(Gpus()))
    serve_metrics(settings.metrics_host, settings.metrics_port)
    try:
        worker.start()
    except ModelError as error:
        log.critical(
            "the worker cannot start: %s (MASKWORKS_MODELS, MASKWORKS_CHECKPOINTS, MASKWORKS_DEVICE, MASKWORKS_TEXT)",
            error,
        )
        raise SystemExit(EXIT_CONFIGURATION) from error
    except DATABASE_ERRORS as error:
        log.critical("the worker cannot start, the database failed: %s", error)
        raise SystemExit(1) from error
    except Exception as error:
        # Celery would log the error and go on. A worker without its models must not take work.
        log.critical("the worker cannot start: %s", error, exc_info=True)
        raise SystemExit(1) from error


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stopping(**_: Any) -> None:
    """On SIGTERM chunks stop at the next batch and give their leases back."""
    worker.stopping.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stopped(**_: Any) -> None:
    """End the process. The slots are empty. A GPU batch that still runs would not be stored, so nobody waits for it."""
    worker.stop()
    send_last_spans()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
