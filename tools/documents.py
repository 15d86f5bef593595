"""`python -m tools.documents`: write what is made from the code: parts of documents, and the synchronous client.

A test fails if it is out of date.
"""

import sys
from collections.abc import Callable
from typing import Final

from tools import diagrams, export_formats, image_formats, layout, settings_table, sync_client
from tools.layout import ROOT

PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/settings.md": settings_table.page,
    "docs/layout.md": layout.page,
    "docs/results.md": export_formats.page,
    "docs/formats.md": image_formats.page,
    "docs/states-job.svg": diagrams.job_states,
    "docs/states-chunk.svg": diagrams.chunk_states,
    **sync_client.pages(),
}


def main() -> int:
    for name, make in PAGES.items():
        (ROOT / name).write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
