"""The export with masks cut into tiles, and the client's records that read it."""

import json

import msgspec
import numpy as np
import pytest
from msgspec.structs import fields

from db.states import ItemReason
from maskworks import TiledMask, TiledResult
from maskworks.masks import RLE, Mask, MaskTile
from model.masks import rle
from tests.api.conftest import Service, failure_row, result_row

pytestmark = pytest.mark.anyio


async def test_tiles_join_into_the_masks_of_jsonl(service: Service) -> None:
    rows, columns = np.ogrid[:1500, :2100]
    ring = abs(np.hypot(rows - 1000, columns - 1030) - 300) < 40
    masks = [rle.encode(mask) for mask in (ring, np.zeros_like(ring), np.ones_like(ring))]
    scan = result_row(masks) | {"height": 1500, "width": 2100}
    far = 50_000 * 100_000 + 7  # beyond 32 bits
    huge = rle.compress([np.array([far, 10, 100_000**2 - far - 10])])[0]
    larger = result_row([{"size": [100_000, 100_000], "counts": huge}]) | {"height": 100_000, "width": 100_000}
    job = (await service.submit(3))["id"]
    service.work(job, lambda i: (scan, failure_row(ItemReason.TIMEOUT), larger)[i], 3)

    answer = await service.client.get(f"/v1/jobs/{job}/results?format=tiles")
    assert answer.status_code == 200 and f"{job}.tiles.jsonl" in answer.headers["content-disposition"]
    plain = [json.loads(x) for x in (await service.client.get(f"/v1/jobs/{job}/results")).text.splitlines()]
    cut = [json.loads(line) for line in answer.text.splitlines()]
    without = [[{k: v for k, v in m.items() if k != "segmentation"} for m in x.get("masks", ())] for x in plain]
    assert [[{k: v for k, v in m.items() if k != "tiles"} for m in x.get("masks", ())] for x in cut] == without
    assert [{**x, "masks": None} for x in cut] == [{**x, "masks": None} for x in plain]
    column = np.zeros((1024, 1024), np.bool_)
    column[7:17, 50_000 - 49_152] = True
    assert cut[2]["masks"][0]["tiles"] == [{"offset": [49_152, 0], **rle.encode(column)}]

    described = {field.name for field in fields(TiledMask)}, {field.name for field in fields(MaskTile)}
    assert described == (set(cut[2]["masks"][0]), set(cut[2]["masks"][0]["tiles"][0]))
    found = msgspec.json.decode(answer.text.splitlines()[0], type=TiledResult)
    assert [len(mask.tiles) for mask in found.masks] == [4, 0, 6]
    for mask, whole in zip(found.masks, masks, strict=True):
        pixels = rle.decode(whole)
        x, y, width, height = mask.bbox
        assert (mask.to_numpy() == pixels[y : y + height, x : x + width]).all()
        assert (mask.to_numpy((900, 700, 1100, 800)) == pixels[700:1500, 900:2000]).all()
    record = msgspec.json.decode(json.dumps(plain[2]["masks"][0]), type=Mask)
    assert record.segmentation == RLE((100_000, 100_000), huge)
    assert record.to_numpy(record.bbox).all() and record.to_numpy((49_999, 0, 3, 20)).sum() == 10
