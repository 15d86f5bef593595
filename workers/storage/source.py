"""Where an object comes from: what `Reading` needs to know of S3 and of web servers."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from workers.failures import ItemFailed


@dataclass(frozen=True)
class Answer:
    """An object whose body is not read yet."""

    body: Any
    """Has `read(size)`, and checks lengths and checksums."""
    stream: Any
    """Has `shutdown()`, which ends a `read` of another thread."""
    size: int | None
    """As the server announces it."""
    tag: str | None
    """Changes with the object's content. None where the server gives nothing of that kind."""
    whole: int | None = None
    """Of a part: the size of the whole object."""


class Source(Protocol):
    """One object. Errors of the network are raised as they come; the last three methods say what they mean."""

    @property
    def shown(self) -> str:
        """The object's name for errors and logs, without secrets."""
        ...

    def check(self) -> None:
        """Raises ItemFailed where this installation may not read it."""
        ...

    def tag(self) -> str | None:
        """The tag of `Answer` by a request of its own. None where only `get` can tell it."""
        ...

    def get(self) -> AbstractContextManager[Answer]:
        """Open the object. Raises ItemFailed where it is refused for good."""
        ...

    def part(self, start: int, stop: int, tag: str | None) -> "Source":
        """Bytes of the same object. With a tag, `get` raises ItemFailed once the object has another one."""
        ...

    def throttled(self, error: Exception) -> bool:
        """Whether the server asked for fewer requests."""
        ...

    def refusal(self, error: Exception) -> ItemFailed | None:
        """The failure of the item, or None where another try may help."""
        ...

    def describe(self, error: Exception) -> str:
        """For the item's owner, without secrets and without addresses inside the installation."""
        ...
