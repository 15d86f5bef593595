"""Who goes first: chunks in turn within a worker, messages by their job's share of what is in work."""

import threading
import time
from queue import SimpleQueue
from uuid import uuid4

import pytest
import redis

from model.backends.null import NullSegmenter
from model.spec import Automatic
from workers.broker import chunk_of, list_names
from workers.dispatcher import sender
from workers.dispatcher.sender import Message, Sender, urgency
from workers.pipeline.fair_queue import FairQueue
from workers.pipeline.gpu_queue import GpuQueue
from workers.pipeline.ticket import Model, Outcome, Ticket
from workers.settings import Settings


def tickets(model: Model, count: int, interactive: bool = False) -> list[Ticket]:
    sink: SimpleQueue[Outcome] = SimpleQueue()
    return [Ticket(i, "", Automatic(), model, sink, threading.Event(), interactive) for i in range(count)]


def test_chunks_take_turns() -> None:
    queue, model = FairQueue(), NullSegmenter()
    large, small = tickets(model, 5), tickets(model, 2)
    for ticket in large + small:
        queue.put(ticket)
    order = [queue.get() for _ in range(7)]
    assert order == [large[0], small[0], large[1], small[1], large[2], large[3], large[4]]


def test_a_batch_is_of_one_model_and_interactive_ones_go_first_by_themselves() -> None:
    queue, one, other = GpuQueue(), NullSegmenter(), NullSegmenter()
    first, second, now = tickets(one, 3), tickets(other, 3), tickets(one, 1, interactive=True)
    for ticket in first + second + now:
        queue.put(ticket)
    assert queue.take(1) == now
    assert queue.take(1) == first
    assert queue.take(1) == second
    assert queue.take(0.05) == queue.take(0.05) == []


@pytest.mark.parametrize(("share", "level"), [(0.0, 0), (0.24, 0), (0.3, 3), (0.6, 6), (0.99, 9), (1.0, 9)])
def test_the_less_a_job_has_the_more_urgent(share: float, level: int) -> None:
    assert urgency(share) == level


def test_messages_are_read_back_and_promoted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_PROMOTE_AFTER", 0.5)
    job = uuid4()
    sending = Sender(settings.redis_url)
    sending.watch(frozenset({"null"}))
    sending.send([Message("null", job, 1, 0), Message("null", job, 2, 9)])
    sending.start()
    with redis.Redis.from_url(settings.redis_url) as client:
        first, *_, last = list_names("null")
        deadline = time.monotonic() + 10
        while client.llen(first) < 2 and time.monotonic() < deadline:
            if client.llen(last) and sending.waiting is not None:
                assert sending.waiting.chunks <= {(job, 1), (job, 2)}
            time.sleep(0.05)
        # Workers pop from the right: the promoted one stands behind the urgent one.
        assert [chunk_of(raw) for raw in client.lrange(first, 0, -1)] == [(job, 2), (job, 1)]
        assert client.llen(last) == 0
    sending.stop()
