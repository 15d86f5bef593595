"""The server that commands speak to."""

from maskworks.cli.output import say
from maskworks.sync.client import Client


def connected() -> Client:
    """A client that says why it waits. Raises ConfigError."""
    said: set[str] = set()

    def waits(why: str, seconds: float) -> None:  # noqa: ARG001 - the client gives it
        if why not in said:
            said.add(why)
            say(f"{why}; trying again")

    return Client(on_retry=waits)
