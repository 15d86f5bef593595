"""End the process when one of its threads dies of an unexpected error."""

import logging
import os
import threading
from typing import Final

log = logging.getLogger(__name__)

EXIT_THREAD_DIED: Final = 72


def end_process_with_any_thread() -> None:
    """Call this once, in an entry module. A process without one of its threads would only look alive. Its supervisor
    starts it again, and its leases run out."""
    threading.excepthook = _end


def _end(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread is not None else "a thread"
    log.critical("%s died: ending the process", name, exc_info=died.exc_value)
    logging.shutdown()
    os._exit(EXIT_THREAD_DIED)
