"""A queue of tickets that serves chunks in turn, so that no image waits for all images of another chunk."""

import threading
from collections import deque

from workers.pipeline.ticket import Model, Ticket


class FairQueue:
    """Admission limits what is in it. The tickets of a chunk share their sink."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._by_chunk: dict[int, deque[Ticket]] = {}
        self._turns: deque[int] = deque()

    def put(self, ticket: Ticket) -> None:
        with self._changed:
            chunk = id(ticket.sink)
            if chunk not in self._by_chunk:
                self._by_chunk[chunk] = deque()
                self._turns.append(chunk)
            self._by_chunk[chunk].append(ticket)
            self._changed.notify()

    def get(self) -> Ticket:
        """Wait for the next ticket."""
        with self._changed:
            while not self._turns:
                self._changed.wait()
            return self._pop()

    def head(self) -> Ticket | None:
        with self._changed:
            return self._by_chunk[self._turns[0]][0] if self._turns else None

    def pop_of(self, model: Model) -> Ticket | None:
        """The next ticket of the chunk whose turn it is, among those whose next image is for `model`."""
        with self._changed:
            for _ in range(len(self._turns)):
                if self._by_chunk[self._turns[0]][0].model is model:
                    return self._pop()
                self._turns.rotate(-1)
            return None

    def _pop(self) -> Ticket:
        chunk = self._turns.popleft()
        waiting = self._by_chunk[chunk]
        ticket = waiting.popleft()
        if waiting:
            self._turns.append(chunk)
        else:
            del self._by_chunk[chunk]
        return ticket
