"""`python -m tools.documents`: write what the documents take from the code. A test fails if it is out of date."""

import sys
from collections.abc import Callable
from typing import Final

from tools import diagrams, export_formats, layout, settings_table
from tools.layout import ROOT

PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/settings.md": settings_table.page,
    "docs/layout.md": layout.page,
    "docs/results.md": export_formats.page,
    "docs/states-job.svg": diagrams.job_states,
    "docs/states-chunk.svg": diagrams.chunk_states,
}


def main() -> int:
    for name, make in PAGES.items():
        (ROOT / name).write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
