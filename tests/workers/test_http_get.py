"""The small HTTP client against a server of the test's own, which answers whatever bytes the test wants."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from workers.http_get import Connections, Origin


class Server:
    """Each request of each connection gets the next of `answers`; None closes the connection instead."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.origin = Origin(False, "127.0.0.1", self._listening.getsockname()[1])
        self.answers: list[bytes | None] = []
        self.accepted = 0
        self.pause = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):  # a client may leave in the middle of an answer
            while connection.recv(65536):
                answer = self.answers.pop(0)
                if answer is None:
                    return
                for piece in [answer] if not self.pause else (answer[i : i + 20] for i in range(0, len(answer), 20)):
                    connection.sendall(piece)
                    time.sleep(self.pause)
                if b"Connection: close" in answer:
                    return

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def connections() -> Iterator[Connections]:
    connections = Connections(most=2)
    yield connections
    connections.close()


def _get(connections: Connections, server: Server, most: int = 100) -> tuple[int, int | None, bytes]:
    with connections.get(server.origin, "/a", {"host": "x"}) as answer:
        return answer.status, answer.length, answer.read(most)


def _ok(body: bytes, length: int | None = None, more: bytes = b"") -> bytes:
    said = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nCONTENT-length: %d\r\n%s\r\n%s" % (said, more, body)


def test_a_read_answer_leaves_its_connection_for_the_next(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"one"), _ok(b""), _ok(b"three")]
    assert [_get(connections, server)[2] for _ in range(3)] == [b"one", b"", b"three"]
    assert server.accepted == 1


def test_a_connection_that_the_server_ends_is_not_kept(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"12345", more=b"Connection: close\r\n"), _ok(b"67890")]
    assert [_get(connections, server)[2] for _ in range(2)] == [b"12345", b"67890"]
    assert server.accepted == 2


def test_a_body_not_read_to_its_end_closes_its_connection(connections: Connections, server: Server) -> None:
    long = bytes(range(256)) * 20_000
    server.answers = [_ok(long), _ok(long), _ok(b"12")]
    assert _get(connections, server, 3)[2] == long[:3]
    assert _get(connections, server, len(long))[2] == long
    assert _get(connections, server, 1)[2] == b"1"  # all of it came with its head, so nothing is left to read
    assert server.accepted == 2
    assert len(connections._idle) == 1


def test_bytes_behind_an_answer_are_not_the_next_one(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"mine") + _ok(b"somebody else's"), _ok(b"mine too")]
    assert [_get(connections, server)[2] for _ in range(2)] == [b"mine", b"mine too"]
    assert server.accepted == 2


@pytest.mark.parametrize("bad", ["a\r\nx-more: 1", "a\0"])
def test_nothing_can_end_its_line(connections: Connections, server: Server, bad: str) -> None:
    for target, value in ((f"/{bad}", "x"), ("/a", bad), ("/a b", "x")):
        with pytest.raises(ValueError, match="not to be put"):
            connections.get(server.origin, target, {"host": value})
    assert server.accepted == 0


def test_a_head_in_pieces_is_put_together(connections: Connections, server: Server) -> None:
    server.pause = 0.05
    server.answers = [_ok(b"12345")]
    assert _get(connections, server) == (200, 5, b"12345")


def test_a_connection_closed_meanwhile_costs_a_second_try(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"one"), None, _ok(b"two")]
    assert [_get(connections, server)[2] for _ in range(2)] == [b"one", b"two"]
    assert server.accepted == 2


def test_a_new_connection_that_closes_is_an_error(connections: Connections, server: Server) -> None:
    server.answers = [None]
    with pytest.raises(ConnectionError):
        _get(connections, server)


def test_a_body_cut_short_is_given_as_it_is(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"123", 10, b"Connection: close\r\n")]
    assert _get(connections, server) == (200, 10, b"123")
    assert not connections._idle


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_no_plain_length_is_said_to_be_none(connections: Connections, server: Server, answer: bytes) -> None:
    server.answers = [answer]
    assert _get(connections, server) == (200, None, b"")
    assert not connections._idle  # whatever body it has would be taken for the next answer


@pytest.mark.parametrize("answer", [b"220 smtp.example\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"x" * 140_000])
def test_what_is_not_http_is_an_error(connections: Connections, server: Server, answer: bytes) -> None:
    server.answers = [answer]
    with pytest.raises(OSError):
        _get(connections, server)


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 30_000])
def test_an_answer_that_does_not_begin_is_an_error(connections: Connections, server: Server, head: bytes) -> None:
    server.answers = [head]
    with pytest.raises(OSError, match=r"interim|no end"):
        _get(connections, server)


def test_no_more_than_so_many_are_kept_idle(connections: Connections, server: Server) -> None:
    server.answers = [_ok(b"x") for _ in range(3)]
    answers = [connections.get(server.origin, "/a", {"host": "x"}) for _ in range(3)]
    for answer in answers:
        with answer:
            answer.read(1)
    assert len(connections._idle) == 2
