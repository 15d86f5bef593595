"""The sections about export formats in docs/results.md, from the table of formats."""

from typing import Final

from exports.table import FORMATS
from tools.layout import ROOT

BEGIN: Final = "<!-- export formats: python -m tools.documents writes this part -->\n"
END: Final = "<!-- end of export formats -->\n"


def page() -> str:
    """docs/results.md with the part between the two comments made anew."""
    before, _, rest = (ROOT / "docs/results.md").read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = "".join(f"\n## {name}\n\n{format.about}\n" for name, format in FORMATS.items())
    return f"{before}{BEGIN}{sections}\n{END}{after}"
