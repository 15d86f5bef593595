"""What one process of `pytest -n` runs by itself, and what comes first."""

import pytest
from xdist.scheduler import LoadFileScheduling

# Their files share one stack, which takes half a minute of a processor to start.
STACKS = ("tests/e2e/", "tests/client/")
# Those that wait for processes, or take minutes. The last to begin is what everybody waits for, and beside them there
# is enough to compute.
FIRST = (*STACKS, "tests/fuzz/", "tests/deploy/", "tests/faults/", "tests/test_readme.py")


class Units(LoadFileScheduling):  # type: ignore[misc]
    """As `--dist loadfile`, but a folder that shares a stack stays together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in STACKS if nodeid.startswith(folder)), nodeid.split("::")[0])


def rank(item: pytest.Item) -> int:
    """Its place in the order of `FIRST`. What is not there comes behind."""
    return next((place for place, each in enumerate(FIRST) if item.nodeid.startswith(each)), len(FIRST))
