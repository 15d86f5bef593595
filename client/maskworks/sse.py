"""Lines of an event stream → its events (WHATWG HTML, section 9.2)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    id: str
    type: str
    data: str


class EventReader:
    """Takes a line at a time. Remembers the last id, with which a client comes back."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_seconds = 2.0
        self._new_connection()

    def _new_connection(self) -> None:
        self._id: str | None = None
        self._type = ""
        self._data: list[str] = []

    def connected(self) -> None:
        """Forget half an event of the connection before."""
        self._new_connection()

    def feed(self, line: str) -> ServerEvent | None:
        """The event that ends with this line. One that was seen already is left out."""
        if line:
            self._field(*_split(line))
            return None
        # An event without an id of its own keeps the last one, and is new.
        seen = not self._data or (self._id is not None and self._id == self.last_id)
        self.last_id = self.last_id if self._id is None else self._id
        event = ServerEvent(self.last_id, self._type or "message", "\n".join(self._data))
        self._new_connection()
        return None if seen else event

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isdecimal():
            self.retry_seconds = int(value) / 1000


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")
