"""The records of a run on disk, one line for each picture, so that a run goes on where it was stopped."""

import json
from pathlib import Path
from typing import Any

from evaluation.task import Record


class RunError(ValueError):
    """A folder holds the records of another run."""


class Journal:
    """A file of JSON lines. The first says what the run is; each other is a picture's name and record."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """Open it, or go on with one of the same identity. Raises RunError for another."""
        self.path, self.records = path, dict[str, Record]()
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _whole_lines(path)
        if not whole:
            path.write_text(json.dumps(identity) + "\n")
            return
        before = json.loads(whole[0])
        different = [k for k in {**before, **identity} if before.get(k) != json.loads(json.dumps(identity)).get(k)]
        if different:
            was = ", ".join(f"{k} {before.get(k)} instead of {identity.get(k)}" for k in different)
            raise RunError(f"{path} holds another run, with {was}: delete it, or name another folder")
        self.records = {row["name"]: row["record"] for row in map(json.loads, whole[1:])}

    def add(self, name: str, record: Record) -> None:
        """Write a picture's record. It is on disk when this returns."""
        with self.path.open("a") as file:
            file.write(json.dumps({"name": name, "record": record}) + "\n")
        self.records[name] = record


def _whole_lines(path: Path) -> list[str]:
    """The lines that were written to their end. What an interruption left of one is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        with path.open("r+b") as file:
            file.truncate(end)
    return data[:end].decode().splitlines()
