# Made from maskworks/aio/download.py by `python -m tools.documents`. Change that file.
"""An answer that goes into a file. The file gets its name only once it is complete."""

from pathlib import Path

from maskworks.errors import ConnectionFailed
from maskworks.sync.runtime import sleep
from maskworks.sync.transport import Call, Transport

_TRIES = 6


def download(transport: Transport, call: Call, target: Path) -> None:
    """Raises APIError, and ConnectionFailed after some tries."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for tried in range(1, _TRIES + 1):
        try:
            _whole(transport, call, part)
            break
        except ConnectionFailed:
            if tried == _TRIES:
                raise
            sleep(2.0**tried / 4)
    part.replace(target)


def _whole(transport: Transport, call: Call, part: Path) -> None:
    with transport.open(call) as answer:
        with part.open("wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)
