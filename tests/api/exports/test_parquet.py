"""The Parquet table of a job's results, as pandas and pyarrow read it."""

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco_mask

from db.states import ItemReason
from exports import parquet
from model.masks.rle import decode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def table_of(service: Service, job: str) -> Any:
    answer = await service.client.get(f"/v1/jobs/{job}/results?format=parquet")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/vnd.apache.parquet"
    return pq.ParquetFile(io.BytesIO(answer.content))


async def test_a_row_for_each_mask(service: Service) -> None:
    answers = [some_masks(3), [], [], some_masks(2)]
    job = (await service.submit(4))["id"]
    service.work(job, lambda i: failure_row(ItemReason.TIMEOUT) if i == 1 else result_row(answers[i]), 4)
    file = await table_of(service, job)
    frame: pd.DataFrame = file.read().to_pandas()
    assert frame["item_index"].tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert frame["state"].tolist() == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 3
    assert frame.loc[3, "reason"] == "TIMEOUT" and pd.isna(frame.loc[4, "rle_counts"])
    masks = frame[frame["mask_id"].notna()]
    expected = [rle for rles in answers for rle in rles]
    for (_, row), rle in zip(masks.iterrows(), expected, strict=True):
        read = {"size": [int(row.height), int(row.width)], "counts": row.rle_counts.encode()}
        assert np.array_equal(coco_mask.decode(read).astype(bool), decode(rle))
        assert coco_mask.toBbox(read).tolist() == [row.bbox_x, row.bbox_y, row.bbox_w, row.bbox_h]
        assert (row.area, row.predicted_iou, row.stability_score) == (coco_mask.area(read), 0.75, 0.5)
        assert (row.point_x, row.crop_w) == (row.bbox_x + 0.5, 40)
    shown = await service.job(job)
    about = {name: shown[name] for name in ("id", "state", "done", "counts")}
    assert json.loads(file.schema_arrow.metadata[b"maskworks"]) == about


async def test_prompts_have_no_point(service: Service) -> None:
    job = (await service.submit(1))["id"]
    service.work(job, lambda _: result_row(some_masks(1), prompt="p"), 1)
    frame = (await table_of(service, job)).read().to_pandas()
    assert frame["prompt_id"].tolist() == ["p"] and frame["point_x"].isna().all()


async def test_row_groups_are_written_as_they_fill(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 4)
    job = (await service.submit(6))["id"]
    service.work(job, lambda _: result_row(some_masks(3)), 6)
    file = await table_of(service, job)
    assert file.num_row_groups >= 3 and file.metadata.num_rows == 18
    assert file.read()["item_index"].to_pylist() == [i for i in range(6) for _ in range(3)]


async def test_items_without_masks_fill_row_groups_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 4)
    job = (await service.submit(9))["id"]
    service.work(job, lambda _: failure_row(ItemReason.TIMEOUT), 9)
    file = await table_of(service, job)
    assert file.metadata.num_rows == 9 and file.num_row_groups == 3


async def test_a_job_that_has_not_begun_is_a_table_without_rows(service: Service) -> None:
    job = (await service.submit(1))["id"]
    file = await table_of(service, job)
    assert file.metadata.num_rows == 0 and file.schema_arrow.names[0] == "item_index"
