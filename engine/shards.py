"""The last filter of the paper's automatic stage, over shards in the form of SA-1B."""

import json
from pathlib import Path
from typing import Any, Final

COVERING: Final = 0.95
"""Of an image. A mask of so much of it is mostly the whole picture, and no object (the paper's appendix B)."""


def drop_covering(folder: Path) -> int:
    """Leave out masks that cover too much of their image. Returns how many; a second time there are none.

    A shard that has one is written anew, and has its name only once it is whole.
    """
    return sum(_dropped(shard) for shard in sorted(folder.glob("*.sa1b.jsonl")))


def _dropped(shard: Path) -> int:
    number = 0
    part = shard.with_name(f"{shard.name}.part")
    with shard.open() as lines, part.open("w") as kept:
        for text in lines:
            line = json.loads(text)
            annotations = line.get("annotations", [])
            few = [one for one in annotations if not _covers(one, line["image"])]
            number += len(annotations) - len(few)
            kept.write(json.dumps(line | {"annotations": few}) + "\n" if len(few) < len(annotations) else text)
    part.replace(shard) if number else part.unlink()
    return number


def _covers(annotation: dict[str, Any], image: dict[str, Any]) -> bool:
    return bool(annotation["area"] >= COVERING * image["width"] * image["height"])
