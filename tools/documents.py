"""`python -m tools.documents`: write the pages that are made from the code. A test fails where one is out of date."""

import sys
from collections.abc import Callable
from typing import Final

from tools import diagrams, layout, settings_table
from tools.layout import ROOT

PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/settings.md": settings_table.page,
    "docs/layout.md": layout.page,
    "docs/states-job.svg": diagrams.job_states,
    "docs/states-chunk.svg": diagrams.chunk_states,
}


def main() -> int:
    for name, make in PAGES.items():
        (ROOT / name).write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
