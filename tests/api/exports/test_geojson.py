"""GeoJSON of a job's results."""

import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest

from db.states import ItemReason
from model.masks.rle import encode
from tests.api.conftest import Service, failure_row, result_row

pytestmark = pytest.mark.anyio


async def test_each_mask_is_a_feature_in_pixels(service: Service) -> None:
    square, rest = np.zeros((30, 40), np.bool_), np.ones((30, 40), np.bool_)
    square[10:20, 5:25] = True
    rest[10:20, 5:25] = False
    rest[0, 0] = rest[0, 1] = rest[1, 0] = False
    rest[0, 0] = True  # touches nothing: a second polygon
    nothing = np.zeros((30, 40), np.bool_)
    answers = [[encode(square), encode(nothing), encode(rest)], [], []]
    job = (await service.submit(3))["id"]
    service.work(job, lambda i: failure_row(ItemReason.TIMEOUT) if i == 1 else result_row(answers[i]), 3)
    answer = await service.client.get(f"/v1/jobs/{job}/results?format=geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    found = answer.json()
    shown = await service.job(job)
    assert found["job"] == {name: shown[name] for name in ("id", "state", "done", "counts")}
    assert [item["reason"] for item in found["failed_items"]] == ["TIMEOUT"]
    first, second = found["features"]
    assert (first["id"], second["id"]) == ("0/0", "0/2")
    assert first["geometry"]["type"] == "Polygon"
    (ring,) = first["geometry"]["coordinates"]
    assert ring[0] == ring[-1] and {tuple(corner) for corner in ring} == {(5, 10), (25, 10), (25, 20), (5, 20)}
    assert second["geometry"]["type"] == "MultiPolygon"
    assert sorted(len(polygon) for polygon in second["geometry"]["coordinates"]) == [1, 2]
    about = first["properties"]
    assert (about["item_id"], about["area"], about["bbox"], about["width"]) == ("0", 200, [5, 10, 20, 10], 40)


async def test_a_job_without_masks(service: Service) -> None:
    job = (await service.submit(1))["id"]
    found = (await service.client.get(f"/v1/jobs/{job}/results?format=geojson")).json()
    assert (found["type"], found["features"], found["job"]["done"]) == ("FeatureCollection", [], False)


async def test_a_mask_like_noise_has_no_geometry(service: Service) -> None:
    """Its outlines would take hundreds of megabytes. The masks beside it have theirs."""
    noise = np.random.default_rng(0).random((1500, 1500)) < 0.5
    square = np.zeros(noise.shape, np.bool_)
    square[10:20, 5:25] = True
    masks = [encode(square), encode(noise), encode(square)]
    job = (await service.submit(1))["id"]
    service.work(job, lambda _: {**result_row(masks), "height": 1500, "width": 1500}, 1)
    service.client.event_hooks["response"].clear()  # they read the document
    tracemalloc.start()
    answer = await service.client.get(f"/v1/jobs/{job}/results?format=geojson")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    features: list[dict[str, Any]] = orjson.loads(answer.content)["features"]
    assert [feature["id"] for feature in features] == ["0/0", "0/1", "0/2"]
    assert [feature["geometry"] is None for feature in features] == [False, True, False]
    assert [feature["properties"].get("too_many_corners") for feature in features] == [None, True, None]
    assert features[1]["properties"]["area"] == int(noise.sum())
    assert peak < 40_000_000
