"""`#page=3` behind an image's URI: which page of the file is meant. The first is 1, as in the URLs of PDF and TIFF."""

import re
from typing import Final

_PAGE: Final = re.compile(r"#page=([1-9][0-9]{0,4})\Z", re.ASCII)
PAGE_IN_SQL: Final = "#page=[1-9][0-9]{0,4}$"
"""The same as a regular expression of Postgres."""


def page_of(image: str) -> int | None:
    """The page that an image's URI names."""
    found = _PAGE.search(image)
    return None if found is None else int(found[1])


def without_page(image: str) -> str:
    """The URI of the file."""
    return _PAGE.sub("", image)
