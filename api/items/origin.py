"""What a result was made from, and what it says: all that a picture of it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from api.tenant import Tenant
from db.bands import Bands, bands_of
from db.states import Depth
from exports.views import mask_views
from intake.fingerprint import Model, is_of, task_of, tile_of
from model.masks.rle import RLE


@dataclass(frozen=True)
class Origin:
    """Of one item that succeeded. `size` is [height, width] of the upright image."""

    image: str
    size: tuple[int, int]
    depth: Depth
    bands: Bands | None
    masks: list[RLE]
    tenant: str
    model: Model
    task: Mapping[str, Any]
    prompts: Any
    tile: Any
    fingerprint: bytes | None

    @classmethod
    def of(cls, tenant: Tenant, row: Row[Any]) -> "Origin":
        """A row of `db.statements.items.item_with_origin`."""
        return cls(
            image=row.image,
            size=(row.height, row.width),
            depth=Depth(row.depth or Depth.AUTO),
            bands=bands_of(row.bands),
            masks=[mask["segmentation"] for mask in mask_views(row)],
            tenant=tenant.id,
            model=Model(row.model, row.model_revision, row.precision),
            task=row.task,
            prompts=row.prompts,
            tile=row.tile,
            fingerprint=row.fingerprint,
        )

    def without_masks(self) -> "Origin":
        """The image alone. The masks are no part of what it was made from."""
        return replace(self, masks=[])

    def is_from(self, tag: str | None) -> bool:
        """Whether the object with this tag was segmented. Also true where nobody can know."""
        if tag is None or self.fingerprint is None:
            return True
        task = task_of(self.task, self.prompts)
        return is_of(
            self.fingerprint,
            tag,
            tenant=self.tenant,
            image=self.image,
            model=self.model,
            task=task,
            depth=self.depth,
            bands=self.bands,
            tile=tile_of(self.task, self.tile),
        )
