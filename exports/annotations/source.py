"""The annotations of a tenant, image by image, as an export reads them."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from db.statements.annotations import Filters, ImageKey, image_page
from db.states import AnnotationState
from exports.pages import Reader

_ROWS = 512


@dataclass(frozen=True)
class AnnotationSource:
    """No transaction is held: what is stored during an export may or may not be in it."""

    reader: Reader
    tenant: str
    filters: Filters

    async def rows(self) -> AsyncGenerator[Row[Any], None]:
        after: ImageKey | None = None
        while page := await self.reader.all(image_page(self.tenant, self.filters, after=after, limit=_ROWS)):
            for row in page:
                yield row
            last = page[-1]
            after = (last.image, last.height, last.width, last.id)

    def for_training(self) -> "AnnotationSource":
        """Without rejected masks, where no state was asked for."""
        if self.filters.states is not None:
            return self
        right = (AnnotationState.ACCEPTED, AnnotationState.CORRECTED)
        return replace(self, filters=replace(self.filters, states=right))


@dataclass(frozen=True)
class AnnotationFormat:
    """As `exports.format.Format`, of annotations."""

    media_type: str
    suffix: str
    about: str
    parts: Callable[[AnnotationSource], AsyncGenerator[bytes, None]]
