"""`python -m tools.documents`: write the pages that are made from the code. A test fails where one is out of date."""

import sys
from collections.abc import Callable
from typing import Final

from tools import layout, settings_table
from tools.layout import ROOT

PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/settings.md": settings_table.page,
    "docs/layout.md": layout.page,
}


def main() -> int:
    for name, make in PAGES.items():
        (ROOT / name).write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
