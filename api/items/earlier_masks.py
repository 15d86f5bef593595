"""Masks of earlier results in the place of `mask_from`, before a request is stored or sent to a worker.

A job that names them does not depend on the earlier one afterwards, and a worker sees a mask as a client could have
sent it. What a key may not read, and what another tenant has, is refused as what does not exist.
"""

import asyncio
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from api.items.lookup import item_index, one_item
from api.refusals import InvalidBody, ItemNotFound, JobNotFound, MaskNotFound
from api.tenant import Tenant
from db.ids import read_job_id
from db.statements import items as sql
from db.states import ItemState
from exports.views import mask_views

MAX_MASKS: Final = 1000
"""Of one request. Each is looked up by itself."""
MAX_BYTES: Final = 32 * 2**20
"""Of their run lengths together, which are many times as long as their names."""
_FIELD: Final = '"mask_from"'


class EarlierMasks:
    """Those that one request names."""

    def __init__(self, connection: AsyncConnection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant
        self._n_masks = 0
        self._n_bytes = 0
        self._latest: tuple[tuple[str, str], list[dict[str, Any]]] = ("", ""), []

    async def fill_text(self, prompts: str, at: str) -> str:
        """As `fill`, from JSON to JSON."""
        if _FIELD not in prompts:
            return prompts
        return orjson.dumps(await self.fill(orjson.loads(prompts), at)).decode()

    async def fill(self, prompts: list[dict[str, Any]], at: str) -> list[dict[str, Any]]:
        """Valid prompts with masks in the place of names. `at` points to them. Raises MaskNotFound and InvalidBody."""
        return [await self._filled(prompt, f"{at}/{i}/mask_from") for i, prompt in enumerate(prompts)]

    async def _filled(self, prompt: dict[str, Any], at: str) -> dict[str, Any]:
        kept = {name: value for name, value in prompt.items() if name != "mask_from"}
        if (named := prompt.get("mask_from")) is None:
            return kept
        self._n_masks += 1
        if self._n_masks > MAX_MASKS:
            raise InvalidBody(
                [{"pointer": at, "detail": f"is one too many: a request takes {MAX_MASKS} earlier masks"}]
            )
        mask = await self._mask(named, at)
        self._n_bytes += len(mask["counts"])
        if self._n_bytes > MAX_BYTES:
            raise InvalidBody([{"pointer": at, "detail": f"its earlier masks take more than {MAX_BYTES} bytes"}])
        return kept | {"mask": mask}

    async def _mask(self, named: dict[str, Any], at: str) -> dict[str, Any]:
        """Its RLE."""
        masks, mask_id = await self._masks_of(named["job_id"], named["item_id"], at), named["mask_id"]
        if mask_id >= len(masks):
            raise _missing(f"{at}/mask_id", f"the item has {len(masks)} masks, counted from 0")
        segmentation: dict[str, Any] = masks[mask_id]["segmentation"]
        return segmentation

    async def _masks_of(self, shown: str, item_id: str, at: str) -> list[dict[str, Any]]:
        """Those of an item. They are kept until another is named: prompts of one image name masks of one item."""
        if self._latest[0] != (shown, item_id):
            self._latest = (shown, item_id), await self._read(shown, item_id, at)
        return self._latest[1]

    async def _read(self, shown: str, item_id: str, at: str) -> list[dict[str, Any]]:
        job_id = read_job_id(shown)
        try:
            if job_id is None or not self._tenant.reads_jobs:
                raise JobNotFound(shown)
            index = item_index(item_id)
            row = await one_item(self._connection, self._tenant, job_id, index, sql.item_with_masks(job_id, index))
        except JobNotFound as error:
            raise _missing(f"{at}/job_id", error.detail) from error
        except ItemNotFound as error:
            raise _missing(f"{at}/item_id", error.detail) from error
        if row.state != ItemState.SUCCEEDED:
            raise _missing(f"{at}/item_id", f"the item is {row.state}: only one that has succeeded has masks")
        # In a thread: it unpacks the run lengths of thousands of masks.
        return await asyncio.to_thread(mask_views, row)


def _missing(pointer: str, detail: str) -> MaskNotFound:
    return MaskNotFound([{"pointer": pointer, "detail": detail}])
