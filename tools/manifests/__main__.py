"""`python -m tools.manifests [FOLDER …]`: build overlays and check them. Without a folder, those of deploy/k8s."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tools.manifests.build import OVERLAYS, BuildFailed, build
from tools.manifests.policies import broken_policies
from tools.manifests.schemas import broken_schemas


def main(words: Sequence[str]) -> int:
    folders = [Path(word) for word in words] or sorted(OVERLAYS.iterdir())
    found = {folder: findings(folder) for folder in folders}
    for folder, lines in found.items():
        print(f"{folder.name}: {'ok' if not lines else f'{len(lines)} faults'}")
        print("".join(f"  {line}\n" for line in lines), end="")
    return 1 if any(found.values()) else 0


def findings(folder: Path) -> list[str]:
    """What is wrong with an overlay, a line each."""
    try:
        objects = build(folder)
    except BuildFailed as error:
        return [str(error)]
    return [*broken_schemas(objects), *broken_policies(objects)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
