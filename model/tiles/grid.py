"""The windows of an image: equal in size, in rows and columns, each overlapping its neighbours."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle of an image, in its pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def shared(self, other: "Window") -> "Window":
        """What lies in both. Its sides are 0 where they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Window(x, y, max(width, 0), max(height, 0))

    def around(self, other: "Window") -> "Window":
        """The smallest rectangle around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Window(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)


@dataclass(frozen=True)
class Axis:
    """The windows along one side of an image: `count` of them, each `length` pixels long."""

    side: int
    count: int
    length: int

    @classmethod
    def of(cls, side: int, size: int, overlap: int) -> "Axis":
        """As few windows of at most `size` pixels as cover `side`, sharing at least `overlap` with each other."""
        if side <= size:
            return cls(side, 1, side)
        count = -((overlap - side) // (size - overlap))
        return cls(side, count, -(-(side + (count - 1) * overlap) // count))

    def start(self, number: int) -> int:
        return 0 if self.count == 1 else number * (self.side - self.length) // (self.count - 1)

    def holding(self, low: float, high: float) -> range:
        """The windows from low to high and beyond: they show all that lies between."""
        numbers = range(self.count)
        first = bisect_left(numbers, high - self.length, key=self.start)
        return range(first, max(first, bisect_right(numbers, low, key=self.start)))

    def touching(self, low: float, high: float) -> range:
        """The windows with something between low and high. Of a single place they may only end there."""
        if low == high:
            return self.holding(low, high)
        numbers = range(self.count)
        first = bisect_right(numbers, low - self.length, key=self.start)
        return range(first, max(first, bisect_left(numbers, high, key=self.start)))


@dataclass(frozen=True)
class Grid:
    """The windows of an image of `height` x `width` pixels, numbered row by row from 0."""

    height: int
    width: int
    size: int
    overlap: int

    @property
    def across(self) -> Axis:
        return Axis.of(self.width, self.size, self.overlap)

    @property
    def down(self) -> Axis:
        return Axis.of(self.height, self.size, self.overlap)

    @property
    def columns(self) -> int:
        return self.across.count

    @property
    def rows(self) -> int:
        return self.down.count

    def __len__(self) -> int:
        return self.rows * self.columns

    def window(self, row: int, column: int) -> Window:
        across, down = self.across, self.down
        return Window(across.start(column), down.start(row), across.length, down.length)

    def row(self, row: int) -> list[Window]:
        """The windows of a row, from left to right."""
        return [self.window(row, column) for column in range(self.columns)]
