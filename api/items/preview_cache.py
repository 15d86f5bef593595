"""Previews that were drawn lately, in memory up to a number of bytes. Those that nobody asked for longest go first."""

from collections import OrderedDict


class PreviewCache:
    """Of one process. Who may see a preview is asked before, each time."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str) -> bytes | None:
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
        return found

    def put(self, name: str, picture: bytes) -> None:
        if name in self._kept or len(picture) > self._most:
            return
        self._kept[name] = picture
        self._bytes += len(picture)
        while self._bytes > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)
