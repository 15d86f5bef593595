"""The states of a job and of a chunk as SVG, drawn from the tables of transitions.

Open states stand in a row inside a frame. A final state that every open state may reach stands below the frame, with
one arrow for all of them. The other final states stand to the right.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Final, Generic, TypeVar

from db.states import CHUNK_TRANSITIONS, JOB_TRANSITIONS, ChunkState, JobState

WIDTH: Final = 150
HEIGHT: Final = 38
GAP: Final = 130
PAD: Final = 24
ROW: Final = 86
"""The y of the middle of the open states."""

State = TypeVar("State", bound=StrEnum)

# What causes a transition; by the state alone where every open state may reach it.
JOB_LABELS: Final[dict[JobState | tuple[JobState, JobState], str]] = {
    (JobState.INGESTING, JobState.PENDING): "prefix listed",
    (JobState.PENDING, JobState.RUNNING): "first claim",
    (JobState.RUNNING, JobState.SUCCEEDED): "none failed",
    (JobState.RUNNING, JobState.PARTIALLY_SUCCEEDED): "some failed",
    JobState.FAILED: "error",
    JobState.CANCELLED: "request",
    JobState.EXPIRED: "deadline",
}
CHUNK_LABELS: Final[dict[ChunkState | tuple[ChunkState, ChunkState], str]] = {
    (ChunkState.READY, ChunkState.DISPATCHED): "message",
    (ChunkState.READY, ChunkState.LEASED): "claim",
    (ChunkState.DISPATCHED, ChunkState.LEASED): "claim",
    (ChunkState.LEASED, ChunkState.READY): "give-back, or the lease ran out",
    (ChunkState.LEASED, ChunkState.DONE): "last result",
    (ChunkState.LEASED, ChunkState.DEAD): "no progress",
    ChunkState.CANCELLED: "job ended early",
}


@dataclass(frozen=True)
class Place:
    """The middle of a state's box."""

    x: float
    y: float


def job_states() -> str:
    """docs/states-job.svg"""
    return Diagram("States of a job", JOB_TRANSITIONS, JOB_LABELS).svg()


def chunk_states() -> str:
    """docs/states-chunk.svg"""
    return Diagram("States of a chunk", CHUNK_TRANSITIONS, CHUNK_LABELS).svg()


class Diagram(Generic[State]):
    """One table of transitions with a place for each state."""

    def __init__(
        self, title: str, table: Mapping[State, frozenset[State]], labels: Mapping[State | tuple[State, State], str]
    ) -> None:
        self._title, self._table, self._labels = title, table, labels
        self._open = [state for state, to in table.items() if to]
        self._from_all = frozenset.intersection(*(table[state] for state in self._open))
        self._places = {
            state: Place(PAD + 16 + WIDTH / 2 + i * (WIDTH + GAP), ROW) for i, state in enumerate(self._open)
        }
        self._right = self._places[self._open[-1]].x + WIDTH / 2 + 16
        self._bottom = ROW + HEIGHT / 2 + (44 if self._edges_back() else 18)
        self._place_final_states()

    def svg(self) -> str:
        width = max(place.x for place in self._places.values()) + WIDTH / 2 + PAD
        height = max(place.y for place in self._places.values()) + HEIGHT / 2 + PAD
        described = "; ".join(f"{a} to {b}" for a, b in self._edges())
        return "\n".join((
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img"'
            ' font-family="system-ui, sans-serif" font-size="14" text-anchor="middle">',
            f"<title>{self._title}</title>",
            f"<desc>{described}</desc>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#455a64"/></marker></defs>',
            f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#fff"/>',
            *self._frame(),
            *(part for a, b in self._edges() if b not in self._from_all for part in self._arrow(a, b)),
            *(part for state, place in self._places.items() for part in self._box(state, place)),
            "</svg>\n",
        ))  # fmt: skip

    def _edges(self) -> list[tuple[State, State]]:
        order = list(self._table)
        return [(a, b) for a in order for b in sorted(self._table[a], key=order.index)]

    def _edges_back(self) -> list[tuple[State, State]]:
        return [(a, b) for a, b in self._edges() if b in self._open and self._open.index(b) < self._open.index(a)]

    def _place_final_states(self) -> None:
        beside = [state for state in self._table if state not in self._open and state not in self._from_all]
        for i, state in enumerate(beside):
            y = ROW + (i - (len(beside) - 1) / 2) * (HEIGHT + 20)
            self._places[state] = Place(self._right + GAP - 16 + WIDTH / 2, y)
        below = [state for state in self._table if state in self._from_all]
        middle, step = (PAD + self._right) / 2, WIDTH + 60
        for i, state in enumerate(below):
            self._places[state] = Place(middle + (i - (len(below) - 1) / 2) * step, self._bottom + 44 + HEIGHT / 2)

    def _frame(self) -> Iterator[str]:
        """The frame of the open states, with an arrow to each final state that all of them may reach."""
        yield (
            f'<rect x="{PAD}" y="24" width="{self._right - PAD:g}" height="{self._bottom - 24:g}" rx="8" fill="none"'
            ' stroke="#90a4ae" stroke-dasharray="5 4"/>'
        )
        for state in self._table:
            if state in self._from_all:
                place = self._places[state]
                yield _line(f"M{place.x:g} {self._bottom:g}V{place.y - HEIGHT / 2:g}")
                yield _text(place.x + 8, self._bottom + 27, self._labels[state], "start")

    def _arrow(self, a: State, b: State) -> Iterator[str]:
        start, end, label = self._places[a], self._places[b], self._labels[a, b]
        steps = self._open.index(b) - self._open.index(a) if b in self._open else 1
        if steps == 1:
            left, right = start.x + WIDTH / 2, end.x - WIDTH / 2
            yield _line(f"M{left:g} {start.y:g}L{right:g} {end.y:g}")
            yield _text(
                (left + right) / 2,
                (start.y + end.y) / 2 + (26 if end.y > start.y else -8 if end.y == start.y else -12),
                label,
            )
            return
        side = -1 if steps > 1 else 1
        edge, far = start.y + side * HEIGHT / 2, start.y + side * (HEIGHT / 2 + 30)
        yield _line(f"M{start.x:g} {edge:g}C{start.x:g} {far:g} {end.x:g} {far:g} {end.x:g} {edge:g}")
        yield _text((start.x + end.x) / 2, start.y + side * (HEIGHT / 2 + 22) + (-6 if side < 0 else 16), label)

    def _box(self, state: State, place: Place) -> Iterator[str]:
        fill = "#e0f2f1" if state in self._open else "#eceff1"
        yield (
            f'<rect x="{place.x - WIDTH / 2:g}" y="{place.y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
            f' fill="{fill}" stroke="#00796b"/>'
        )
        yield _text(place.x, place.y + 5, state)


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#455a64" marker-end="url(#tip)"/>'


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="#263238" text-anchor="{anchor}">{escape(words)}</text>'
