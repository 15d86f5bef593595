"""A small S3 that answers listings as a test says: stores that do not sort, repeat themselves or talk nonsense."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

Answer = tuple[int, bytes]


def listing(keys: Sequence[str], token: str | None = None, extra: str = "") -> Answer:
    """A page as S3 gives it; with a token there is another one."""
    contents = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys)
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    truncated = "true" if token else "false"
    return 200, (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name><IsTruncated>{truncated}</IsTruncated>{more}{contents}{extra}</ListBucketResult>"
    ).encode()


def refusal(status: int, code: str) -> Answer:
    return status, f"<Error><Code>{code}</Code><Message>made by a test</Message></Error>".encode()


class OddStore:
    """`answer` gets the query of each listing; `queries` has them all."""

    def __init__(self, answer: Callable[[dict[str, str]], Answer]) -> None:
        self.queries: list[dict[str, str]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                store.queries.append(query)
                status, body = answer(query)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Tests have logs enough."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def odd_store(answer: Callable[[dict[str, str]], Answer]) -> Iterator[OddStore]:
    store = OddStore(answer)
    try:
        yield store
    finally:
        store.close()
