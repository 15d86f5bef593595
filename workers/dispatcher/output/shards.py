"""Where one file of an output ends and the next begins: at an item, just below the limit of a file."""

from typing import Final
from uuid import UUID

from db.statements import output as sql
from exports.pages import Reader

_ROWS: Final = 5000
_FILL: Final = 0.9
"""The share of the limit that is aimed at."""


class Cuts:
    """The cuts of one format. The size of a file is known when it is written, and is used for the next one."""

    def __init__(self, reader: Reader, job_id: UUID, n_items: int, limit: int) -> None:
        self._reader = reader
        self._job_id = job_id
        self._n_items = n_items
        self._limit = limit
        self._bytes_of_weight = 1.0
        self._weight = 0.0

    async def stop(self, start: int) -> int:
        """The end of the file that begins at item `start`."""
        most, self._weight = self._limit * _FILL / self._bytes_of_weight, 0.0
        while start < self._n_items:
            page = sql.next_stop(self._job_id, start=start, rows=_ROWS, weight=most - self._weight)
            row = (await self._reader.all(page))[0]
            if row.seen == 0:
                return self._n_items
            start, self._weight = row.stop, self._weight + row.weight
            if row.taken < row.seen:
                break
        return start

    def was(self, size: int) -> None:
        """The file was written, and is so large."""
        if self._weight > 0:
            self._bytes_of_weight = max(size / self._weight, 0.01)

    def too_large(self, start: int, stop: int) -> int:
        """The file was larger than the limit. A new end for it."""
        self._bytes_of_weight *= 2
        self._weight /= 2
        return start + max(1, (stop - start) // 2)
