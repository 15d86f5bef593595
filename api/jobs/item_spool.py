"""Valid items of a streamed body, in a file without a name until the body is complete. In memory: 12 bytes an item."""

import tempfile
from array import array
from collections.abc import Collection, Iterator
from typing import IO, Final

import numpy as np
import orjson

from api.refusals import BodiesTooLarge
from intake.item import ItemRow

_BUFFER: Final = 256 * 1024


class ItemSpool(Collection[ItemRow]):
    """Rows in the order of their lines. The system removes the file when it is closed, or the process dies."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115
        self._hashes = array("q")
        self._lines = array("I")
        self.any_prompts = False
        """Whether a row has prompts or exemplars of its own."""
        self.any_tiles = False
        """Whether a row says itself how it is cut into windows."""

    def add(self, line: int, row: ItemRow) -> None:
        """Raises BodiesTooLarge where the disk is full."""
        self.any_prompts = self.any_prompts or row.prompts is not None
        self.any_tiles = self.any_tiles or row.tile is not None
        self._hashes.append(hash(row.custom_id))
        self._lines.append(line)
        try:
            self._file.write(orjson.dumps([*row]))
            self._file.write(b"\n")
        except OSError as error:
            raise BodiesTooLarge("there is no room on the disk for this body: try again later") from error

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, row: object) -> bool:
        return any(row == other for other in self)

    def __iter__(self) -> Iterator[ItemRow]:
        self._file.flush()
        self._file.seek(0)
        for text in self._file:
            yield ItemRow(*orjson.loads(text))

    def repeated(self) -> Iterator[tuple[int, ItemRow]]:
        """Rows with the custom_id of an earlier one, each with its line."""
        hashes = np.frombuffer(self._hashes, dtype=np.int64)
        order = np.argsort(hashes, kind="stable")
        equal = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        if not len(equal):
            return
        # Different ids may have one hash, so the few candidates are compared by their text.
        candidates = {int(i) for i in order[equal]} | {int(i) for i in order[equal + 1]}
        seen: set[str] = set()
        for position, row in enumerate(self):  # bad lines have an index, and are not here
            if position in candidates:
                if row.custom_id in seen:
                    yield self._lines[position], row
                seen.add(row.custom_id)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
