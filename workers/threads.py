"""A thread that dies of an error nobody expected takes its process with it: what is left would only look alive."""

import logging
import os
import threading
from typing import Final

log = logging.getLogger(__name__)

EXIT_THREAD_DIED: Final = 72


def end_process_with_any_thread() -> None:
    """Called once by an entry module; the process is restarted by whoever watches it, and its leases run out."""
    threading.excepthook = _end


def _end(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread is not None else "a thread"
    log.critical("%s died: ending the process", name, exc_info=died.exc_value)
    logging.shutdown()
    os._exit(EXIT_THREAD_DIED)
