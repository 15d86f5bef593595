"""Files of mask decoders: that of `sam_tiny` comes with the package, others lie in the operator's folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BUNDLED: Final = Path(__file__).parent / "bundled"
_NAME: Final = re.compile(r"(.+)-([0-9a-f]{12})\.onnx")
_PIECE: Final = 256 * 1024

Decoders = dict[tuple[str, str], Path]
"""By model and revision of its weights."""


def found(folder: Path | None) -> Decoders:
    """Those of both places, by their names (`model.export`). The operator's come first. Reads the folders once."""
    files = [path for place in (BUNDLED, folder) if place is not None for path in sorted(place.iterdir())]
    return {(name[1], name[2]): path for path in files if (name := _NAME.fullmatch(path.name)) and path.is_file()}


def pieces(path: Path) -> Iterator[bytes]:
    """The file, a little at a time, so that a client that reads slowly holds no memory."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
