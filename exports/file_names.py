"""Names of images in a file. Importers find an image by its `file_name`, so every name is unique.

It is the object's key, or the path of an https image. If several items of the job have that key, `#` and the item's
index come before the extension.
A key that already ends in `#` and digits gets its index too.
"""

import posixpath
import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from db.object_uri import split_uri
from db.statements import export
from db.web_image import file_path, is_web
from exports.pages import Source

_NUMBERED = re.compile(r"#[0-9]+\Z")


class FileNames:
    """The names of a job's images. Build with `of`."""

    def __init__(self, shared: Sequence[int]) -> None:
        self._shared = shared

    @classmethod
    async def of(cls, source: Source) -> "FileNames":
        """Read which keys several items have: eight bytes for each such key."""
        rows = await source.reader.all(export.shared_names(source.job_id))
        return cls(array("q", [row.name_hash for row in rows]))

    def name(self, row: Row[Any]) -> str:
        """The name of an item's image. `row` has `image`, `item_index` and `name_hash`."""
        at = bisect_left(self._shared, row.name_hash)
        is_shared = at < len(self._shared) and self._shared[at] == row.name_hash
        return file_name(row.image, row.item_index, is_shared)


def file_name(image: str, index: int, shared: bool) -> str:
    """The name of an item's image, unique in its job. `shared`: another item has the same key."""
    key = file_path(image) if is_web(image) else split_uri(image).key
    stem, extension = posixpath.splitext(key)
    return f"{stem}#{index}{extension}" if shared or _NUMBERED.search(stem) else key
