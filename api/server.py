"""`python -m api.server`: the API as it is shipped, by uvicorn with the limits of docs/limits.md.

`uvicorn --factory api.main:create_app` serves the same application without the limits on heads and connections.
"""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from api.http.protocol import Limits, limited
from api.main import create_app, settings_from_environment
from db.logs import log_to_stderr


def main(words: Sequence[str] | None = None) -> int:
    given = _arguments(words)
    configured = settings_from_environment()
    json = configured.log_format == "json"
    if json:  # uvicorn's own lines as well
        log_to_stderr("json", "", logging.WARNING)
    if given.fd is not None:
        _send_at_once(given.fd)
    uvicorn.run(
        create_app(configured),
        host=given.host,
        port=given.port,
        fd=given.fd,
        http=limited(Limits(configured.max_connections, configured.head_seconds)),
        ws="none",
        timeout_keep_alive=configured.keep_alive_seconds,
        timeout_graceful_shutdown=given.shutdown_seconds,
        access_log=given.access_log,
        use_colors=False,
        log_config=None if json else LOGGING_CONFIG,
        log_level="info",
        server_header=False,
    )
    return 0


def _send_at_once(fd: int) -> None:
    """Set TCP_NODELAY, which accepted connections inherit. uvicorn takes a passed socket for a Unix one and would not.

    A head and its body are sent one after the other. Without the option the body waits 40 ms for the client's system.
    """
    with socket.socket(fileno=os.dup(fd)) as listener:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m api.server", description="Serve the REST API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every one")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--fd", type=int, help="an inherited socket that listens already, instead of both")
    parser.add_argument("--shutdown-seconds", type=int, default=30, help="time for requests to end after SIGTERM")
    parser.add_argument("--no-access-log", dest="access_log", action="store_false", help="no line for each request")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
