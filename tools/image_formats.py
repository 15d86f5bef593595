"""The table in docs/formats.md, from the table of image formats."""

from typing import Final

from tools.layout import ROOT
from workers.images.formats import FORMATS

BEGIN: Final = "<!-- image formats: python -m tools.documents writes this part -->\n"
END: Final = "<!-- end of image formats -->\n"
_HEAD: Final = "| Format | Extensions | Read by | What is lost | Limits |\n|---|---|---|---|---|\n"


def page() -> str:
    """docs/formats.md with the part between the two comments made anew."""
    before, _, rest = (ROOT / "docs/formats.md").read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = [(one.name, " ".join(one.extensions), one.reader, one.lost, one.limits) for one in FORMATS]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{before}{BEGIN}\n{_HEAD}{lines}\n{END}{after}"
