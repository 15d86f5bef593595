"""The fetch stage beside objects that drip: slots are freed, deadlines hold, others are served."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from db.states import ItemReason
from model.backends.null import NullSegmenter
from model.spec import Automatic
from model.tiles.grid import Window
from tests.jobs import picture
from tests.waiting import wait_for
from tests.workers import hostile_s3
from tests.workers.hostile_s3 import HostileS3, send
from workers.failures import ItemFailed
from workers.pipeline import fetching
from workers.pipeline.fetching import FetchStage
from workers.pipeline.pictures import Pictures
from workers.pipeline.ticket import Region, Ticket
from workers.settings import Settings
from workers.storage.client import s3_client
from workers.storage.reading import GivenUp, Objects


class Stage:
    """A stage of two threads and what comes out of it, as (ticket, error)."""

    def __init__(self, settings: Settings) -> None:
        self.out: SimpleQueue[tuple[Ticket, Exception | None]] = SimpleQueue()
        self.stop = threading.Event()
        self.client = s3_client(settings)
        objects, pictures = Objects(self.client, settings), Pictures(settings.max_image_pixels)
        self.stage = FetchStage(objects, pictures, settings.fetch_threads, self.stop, lambda *left: self.out.put(left))
        self.stage.start()

    def put(self, *keys: str, **more: Any) -> list[Ticket]:
        """Tickets of one chunk."""
        abandoned: threading.Event = threading.Event()
        sink: SimpleQueue[Any] = SimpleQueue()
        put = [
            Ticket(i, f"s3://b/{key}", Automatic(), NullSegmenter(), sink, abandoned, **more)
            for i, key in enumerate(keys)
        ]
        for ticket in put:
            self.stage.put(ticket)
        return put

    def take(self, count: int, seconds: float = 15) -> dict[str, Exception | None]:
        """What the next `count` tickets met, by key."""
        left = [self.out.get(timeout=seconds) for _ in range(count)]
        return {ticket.uri.removeprefix("s3://b/"): error for ticket, error in left}


def _answer(connection: socket.socket, head: str) -> None:
    """What the key says."""
    if "/drip" in head:
        hostile_s3.drip(connection)
    elif "/head" in head:
        hostile_s3.drip_head(connection)
    elif "/silent" in head:
        time.sleep(300)
    else:
        send(connection, b"12345")


@pytest.fixture
def server() -> Iterator[HostileS3]:
    with hostile_s3.hostile_s3() as running:
        running.answer = _answer
        yield running


@pytest.fixture
def stage(server: HostileS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    monkeypatch.setattr(fetching, "_SLOW", 0.3)
    stages: list[Stage] = []

    def start(**changes: object) -> Stage:
        few = {"fetch_threads": 2, "slots": 1}
        stages.append(Stage(hostile_s3.reading_from(server, **few | changes)))
        return stages[-1]

    yield start
    for one in stages:
        one.stop.set()
        one.client.close()


SLOW = ["drip", "head", "silent"]


@pytest.mark.parametrize("kind", SLOW)
def test_slow_objects_do_not_keep_others_waiting(stage: Callable[..., Stage], kind: str) -> None:
    one = stage()
    slow = one.put(*(f"{kind}{i}" for i in range(20)))
    quick = one.put("a", "b")
    assert one.take(2) == {"a": None, "b": None}
    assert all(ticket.data == b"12345" for ticket in quick) and all(ticket.data == b"" for ticket in slow)
    assert one.out.empty()


def test_a_slow_image_keeps_no_windows_of_another_waiting(stage: Callable[..., Stage], server: HostileS3) -> None:
    def no_ranges(connection: socket.socket, head: str) -> None:
        if "/drip" in head and "range:" not in head.lower():
            hostile_s3.drip(connection)
        else:
            send(connection, picture(kind="PNG"))

    server.answer = no_ranges
    one, region = stage(), Region(Window(0, 0, 8, 8), None, None)
    one.put("drip", region=region)
    wait_for(lambda: server.asked("/drip") == 2)
    [quick] = one.put("a", region=region)
    assert one.take(1) == {"a": None}
    assert quick.picture is not None and (quick.picture.height, quick.picture.width) == (8, 8)


@pytest.mark.parametrize("kind", SLOW)
def test_an_abandoned_ticket_leaves_at_once(stage: Callable[..., Stage], server: HostileS3, kind: str) -> None:
    one = stage()
    slow = one.put(*(f"{kind}{i}" for i in range(5)))
    wait_for(lambda: server.open >= 2)
    slow[0].abandoned.set()
    left = one.take(5)
    assert len(left) == 5 and all(isinstance(error, GivenUp) for error in left.values())
    one.put("a")
    assert one.take(1) == {"a": None}


@pytest.mark.parametrize("kind", SLOW)
def test_a_stopping_worker_waits_for_no_object(stage: Callable[..., Stage], server: HostileS3, kind: str) -> None:
    one = stage()
    one.put(f"{kind}0", f"{kind}1")
    wait_for(lambda: server.open >= 2)
    one.stop.set()
    assert all(isinstance(error, GivenUp) for error in one.take(2).values())


@pytest.mark.parametrize("kind", SLOW)
def test_an_overdue_object_fails_its_item(stage: Callable[..., Stage], kind: str) -> None:
    one = stage(fetch_seconds=1)
    one.put(f"{kind}0", f"{kind}1", f"{kind}2", "a")
    left = one.take(4)
    assert left.pop("a") is None
    for error in left.values():
        assert isinstance(error, ItemFailed) and error.reason is ItemReason.TIMEOUT
        assert "MASKWORKS_FETCH_SECONDS" in error.detail


def test_threads_of_bodies_given_up_end(stage: Callable[..., Stage], server: HostileS3) -> None:
    before = threading.active_count()
    one = stage()
    slow = one.put(*(f"drip{i}" for i in range(10)))
    wait_for(lambda: server.open == 10)
    slow[0].abandoned.set()
    one.take(10)
    wait_for(lambda: server.open == 0)
    wait_for(lambda: threading.active_count() <= before + 3)


def test_slow_objects_are_bounded(stage: Callable[..., Stage], server: HostileS3) -> None:
    one = stage()
    one.stage._most_slow = 3
    one.put(*(f"drip{i}" for i in range(10)))
    wait_for(lambda: server.open == 5)
    time.sleep(1)
    assert server.open == 5


def test_a_throttled_bucket_keeps_no_other_waiting(stage: Callable[..., Stage], server: HostileS3) -> None:
    healthy = server.answer
    server.answer = lambda connection, head: (
        hostile_s3.send_error(connection, "503 Slow Down", "SlowDown") if "/t/" in head else healthy(connection, head)
    )
    one = stage(buckets=("b", "t"))
    for i in range(10):
        one.stage.put(Ticket(i, f"s3://t/{i}", Automatic(), NullSegmenter(), SimpleQueue(), threading.Event()))
    wait_for(lambda: server.asked("/t/") >= 2)
    one.put("a", "b")
    assert one.take(2) == {"a": None, "b": None}
    with pytest.raises(Empty):
        one.out.get(timeout=0.5)


def test_an_unexpected_error_is_the_tickets(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    one = stage()

    def broken(**_: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(one.client, "get_object", broken)
    one.put("a", "b", "c")
    assert all(isinstance(error, RuntimeError) for error in one.take(3).values())
