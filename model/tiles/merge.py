"""Masks of all windows of an image → masks of the image, a row of windows at a time.

An object that many windows show comes out once: what is the same across each seam is one set (union-find). A set is
given out after the last row that can add to it, so that only masks at the seam with the next row are kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from model.masks.mask import Mask
from model.tiles.grid import Grid, Window
from model.tiles.pieces import Piece, one_mask, one_object, piece_of
from model.tiles.seams import Seam, below, beside

Tile = list[Piece]


class Merger:
    """Automatic masks of an image. `add` takes the rows of its windows from the top; `finish` gives the last masks."""

    def __init__(self, grid: Grid) -> None:
        self._grid: Final = grid
        self._row = 0
        self._above: list[Tile] = []
        self._sets = _Sets()

    def add(self, tiles: Sequence[Sequence[Mask]]) -> Iterator[Mask]:
        """A row of windows, each with its masks in pixels of the window. Gives what no later row can add to."""
        windows = self._grid.row(self._row)
        size = self._grid.height, self._grid.width
        row = [[piece_of(mask, w, size) for mask in masks] for w, masks in zip(windows, tiles, strict=True)]
        for piece in (piece for tile in row for piece in tile):
            self._sets.add(piece)
        for number in range(1, len(row)):
            self._join(beside(row[number - 1], row[number], windows[number - 1].shared(windows[number])))
        if self._row:
            for number, (upper, window) in enumerate(zip(self._above, self._grid.row(self._row - 1), strict=True)):
                self._join(below(upper, row[number], window.shared(windows[number])))
        self._row += 1
        yield from self._ended(row)

    def finish(self) -> Iterator[Mask]:
        """What the last row ends. Raises ValueError where rows are missing."""
        if self._row != self._grid.rows:
            raise ValueError(f"{self._row} of {self._grid.rows} rows of windows were added")
        yield from self._given(self._sets.take_all_but(set()))

    def _join(self, seam: Seam) -> None:
        for one, other in seam.partners:
            self._sets.join(one, other)
        for piece in seam.fragments:
            self._sets.drop(piece)

    def _ended(self, row: list[Tile]) -> Iterator[Mask]:
        """The sets without a piece that reaches into the next row of windows."""
        edge = self._grid.window(self._row, 0).y if self._row < self._grid.rows else self._grid.height
        self._above = [[piece for piece in tile if piece.pixels.box().bottom > edge] for tile in row]
        yield from self._given(self._sets.take_all_but({piece for tile in self._above for piece in tile}))

    def _given(self, sets: Iterable[list[Piece]]) -> Iterator[Mask]:
        for pieces in sets:
            yield one_object(pieces, self._grid.width)


class _Sets:
    """Pieces of the same object. A dropped piece is a fragment, which belongs to no set unless it was joined."""

    def __init__(self) -> None:
        self._parent: dict[Piece, Piece] = {}
        self._joined: set[Piece] = set()
        self._dropped: set[Piece] = set()

    def add(self, piece: Piece) -> None:
        self._parent[piece] = piece

    def drop(self, piece: Piece) -> None:
        self._dropped.add(piece)

    def join(self, one: Piece, other: Piece) -> None:
        self._joined |= {one, other}
        first, second = self._root(one), self._root(other)
        if first is not second:
            self._parent[second] = first

    def take_all_but(self, kept: set[Piece]) -> Iterator[list[Piece]]:
        """The sets without a piece of `kept`, each once. They are forgotten."""
        open_roots = {self._root(piece) for piece in kept}
        ended: dict[Piece, list[Piece]] = {}
        for piece in self._parent:
            root = self._root(piece)
            if root not in open_roots:
                ended.setdefault(root, []).append(piece)
        for pieces in ended.values():
            for piece in pieces:
                del self._parent[piece]
            left = [piece for piece in pieces if piece not in self._dropped or piece in self._joined]
            self._joined.difference_update(pieces)
            self._dropped.difference_update(pieces)
            if left:
                yield left

    def _root(self, piece: Piece) -> Piece:
        while (parent := self._parent[piece]) is not piece:
            self._parent[piece] = self._parent[parent]
            piece = parent
        return piece


def answers(grid: Grid, order: Mapping[str, int], tiles: Iterable[tuple[Window, Sequence[Mask]]]) -> list[Mask]:
    """Masks of prompts: all that windows answer to one prompt is one mask, or three where three were asked for.

    `order`: the prompts of the image, in their order, with how many masks each has.
    """
    size = grid.height, grid.width
    found: dict[tuple[str, int], list[Piece]] = {}
    for window, masks in tiles:
        seen: dict[str, int] = {}
        for mask in masks:
            prompt = mask.prompt_id or ""
            seen[prompt] = rank = seen.get(prompt, -1) + 1
            found.setdefault((prompt, rank), []).append(piece_of(mask, window, size))
    wanted = [(prompt, rank) for prompt, count in order.items() for rank in range(count)]
    return [one_mask(found[one], grid.width, one[0]) for one in wanted if one in found]
