"""An item that is segmented by windows, from its plan to its one result, in one process on real stores."""

import io
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Engine, delete, select, text, update

from db.endings import stop_job
from db.limits import MAX_TILED_AT_ONCE
from db.queues import TILED
from db.statements import jobs as job_statements
from db.statements import tiles
from db.statements.ingest import cut_chunks
from db.states import ChunkState, JobReason, JobState
from db.tables import chunks, items, jobs
from model.backends.null import NullPrepared, NullSegmenter
from model.masks import rle
from tests.conftest import Bucket
from tests.jobs import check_invariants, chunk_rows, job_row, result_rows, submit
from workers.chunks.chunk import End
from workers.dispatcher.tiles import look_after
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.worker import Worker

Start = Callable[..., Worker]
HEIGHT, WIDTH = 500, 700
AUTO = {"type": "auto", "tile": {"size": 256, "overlap": 64}}


def scene() -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """Bright ellipses on black, and what each of them covers. One spans most of the image."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    objects = []
    places = [(x, y, 22, 14) for x in range(40, WIDTH, 90) for y in range(40, 330, 60)] + [(350, 420, 330, 50)]
    for number, (x, y, a, b) in enumerate(places):
        layer = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (x, y), (a, b), 7.0 * number, 0, 360, 1, -1)
        if number == len(places) - 1:
            layer = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (x, y), (a, b), 0, 0, 360, 1, -1)
        pixels[layer > 0] = (200, 100 + number, 50)
        objects.append(layer > 0)
    return pixels, objects


PIXELS, OBJECTS = scene()


def tiff(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, tile=(128, 128), compression="zlib", photometric="rgb")
    return out.getvalue()


@pytest.fixture
def worker(start_worker: Start) -> Worker:
    return start_worker(null_regions=True)


def tile_jobs(engine: Engine, job: UUID) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(jobs).where(jobs.c.tile_of == job).order_by(jobs.c.tile_index)))


def settle(engine: Engine, worker: Worker, job: UUID) -> End | None:
    """Work off the tiles of a job, and then its first chunk again."""
    for of_item in tile_jobs(engine, job):
        for chunk in chunk_rows(engine, of_item.id):
            worker.segment_chunk(of_item.id, chunk.chunk_no)
    look_after(engine, UnexpectedErrors())
    return worker.segment_chunk(job, 0)


def masks(engine: Engine, job: UUID, index: int = 0) -> list[Any]:
    query = text("SELECT * FROM masks WHERE job_id = :job AND index = :index ORDER BY mask_id")
    with engine.connect() as connection:
        return list(connection.execute(query, {"job": job, "index": index}))


def counts(engine: Engine, job: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(*job_statements.job("default", job)).one()


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_each_object_comes_out_once(engine: Engine, bucket: Bucket, worker: Worker, kind: str) -> None:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, format="PNG")
    image = bucket.put(f"a.{kind}", tiff(PIXELS) if kind == "TIFF" else out.getvalue())
    job = submit(engine, [image], task=AUTO, protocol=TILED, size=1)

    assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
    (of_item,) = tile_jobs(engine, job)
    assert (of_item.n_items, of_item.tenant_id, of_item.state) == (12, "default", JobState.PENDING)
    row = counts(engine, job)
    assert (row.running, row.pending) == (1, 0)
    assert row.tiles == {"items": 1, "done": 0, "total": 12, "fraction": 0}
    (chunk,) = chunk_rows(engine, job)
    assert chunk.parked and chunk.attempts == 0
    assert worker.segment_chunk(job, 0) is None, "it rests until its tiles have ended"

    assert settle(engine, worker, job) is End.DONE
    assert job_row(engine, job).state == JobState.SUCCEEDED
    (result,) = result_rows(engine, job)
    assert (result.height, result.width, result.areas) == (HEIGHT, WIDTH, None)
    found = masks(engine, job)
    assert sorted(row.counts for row in found) == sorted(rle.encode(one)["counts"] for one in OBJECTS)
    assert {"fetch", "encode", "rle", "merge", "queue"} <= set(result.timings_ms)
    check_invariants(engine, job)
    look_after(engine, UnexpectedErrors())
    assert [row.tenant_id for row in tile_jobs(engine, job)] == [None], "its rows are to be removed"


def test_tiles_are_of_the_page_and_the_bands_that_were_asked_for(
    engine: Engine, bucket: Bucket, worker: Worker
) -> None:
    """And the result of a GeoTIFF says where it is."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0, 0, 5e5, 5e6, 0), True)]
    tags.append((34735, 3, len(keys), keys, True))
    other = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for pixels in (PIXELS[::-1], PIXELS):
            bands = np.concatenate([other, pixels], 2)
            layout: dict[str, Any] = {"planarconfig": "contig", "extrasamples": ["unspecified"] * 3, "tile": (128, 128)}
            writer.write(bands, photometric="minisblack", metadata=None, extratags=tags, **layout)
    image = bucket.put("pages.tif", out.getvalue())
    job = submit(
        engine, [f"{image}#page=2", image], task=AUTO, protocol=TILED, size=1, input={"items": 2, "bands": [2, 3, 4]}
    )
    assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
    assert settle(engine, worker, job) is End.DONE
    worker.segment_chunk(job, 1)
    found, refused = result_rows(engine, job)
    assert sorted(row.counts for row in masks(engine, job)) == sorted(rle.encode(one)["counts"] for one in OBJECTS)
    assert found.georeference == {"crs": "EPSG:32633", "transform": [10.0, 0.0, 5e5, 0.0, -10.0, 5e6]}
    assert (found.frames, found.warnings, refused.reason) == (2, None, "WRONG_PAGE")


def test_windows_are_stored_at_once(
    engine: Engine, bucket: Bucket, start_worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill costs only the one that is being computed: each waits here until all before it are stored."""
    waits: list[float] = []
    compute = NullSegmenter.core

    def core(self: NullSegmenter, batch: list[NullPrepared]) -> list[NullPrepared]:
        started = time.monotonic()
        assert len(batch) == 1
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            stored = text("SELECT count(*) FROM results WHERE job_id = :job")
            while tiled and connection.execute(stored, {"job": tiled[0].id}).scalar_one() < len(waits):
                assert time.monotonic() < started + 60
                time.sleep(0.002)
        waits.append(time.monotonic() - started)
        return compute(self, batch)

    tiled: list[Any] = []
    worker = start_worker()
    job = submit(engine, [bucket.put("a.tif", tiff(PIXELS))], task=AUTO, protocol=TILED)
    worker.segment_chunk(job, 0)
    tiled += tile_jobs(engine, job)
    with engine.begin() as connection:
        connection.execute(delete(chunks).where(chunks.c.job_id == tiled[0].id))
        connection.execute(update(jobs).where(jobs.c.id == tiled[0].id).values(chunk_size=12))
        connection.execute(*cut_chunks(tiled[0].id))
    monkeypatch.setattr(NullSegmenter, "core", core)
    monkeypatch.setattr("workers.chunks.chunk.LINGER", 600.0)  # as images would wait for others
    assert settle(engine, worker, job) is End.DONE
    assert len(waits) == 12
    assert max(waits) < 60, "one was stored only after the writer had waited for more of them"


def test_an_image_that_fits_into_one_window_has_no_tiles(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    images = [bucket.put("a.tif", tiff(PIXELS)), bucket.put("b.tif", tiff(PIXELS[:200, :256]))]
    job = submit(engine, images, task={"type": "auto", "tile": "auto"}, protocol=TILED)
    assert worker.segment_chunk(job, 0) is End.DONE
    assert tile_jobs(engine, job) == []
    assert len(masks(engine, job)) == len(OBJECTS)


def test_an_item_may_be_cut_beside_others_that_are_not(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    image = bucket.put("a.tif", tiff(PIXELS))
    job = submit(engine, [image, image], protocol=TILED)
    with engine.begin() as connection:
        connection.execute(update(items).where(items.c.index == 1).values(tile=AUTO["tile"]))
    assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
    assert [row.index for row in result_rows(engine, job)] == [0]
    assert settle(engine, worker, job) is End.DONE
    whole, cut = ([row.counts for row in masks(engine, job, index)] for index in (0, 1))
    assert sorted(whole) == sorted(cut)
    check_invariants(engine, job)


def test_many_images_take_turns_and_none_waits_for_a_clock(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    few = tiff(np.ascontiguousarray(PIXELS[:90, :150]))
    images = [bucket.put(f"{i}.tif", few) for i in range(MAX_TILED_AT_ONCE + 5)]
    task = {"type": "auto", "tile": {"size": 100, "overlap": 16}}
    job = submit(engine, images, task=task, protocol=TILED, size=1)

    def turn() -> None:
        """What the dispatcher lets go on, once each."""
        for chunk in chunk_rows(engine, job):
            worker.segment_chunk(job, chunk.chunk_no)

    turn()
    under_way = tile_jobs(engine, job)
    assert [row.tile_index for row in under_way] == list(range(MAX_TILED_AT_ONCE))
    turn()
    assert len(tile_jobs(engine, job)) == MAX_TILED_AT_ONCE and result_rows(engine, job) == []
    settle(engine, worker, job)
    turn()
    turn()
    assert len(tile_jobs(engine, job)) == len(images), "those that waited have windows now"
    settle(engine, worker, job)
    turn()
    assert job_row(engine, job).state == JobState.SUCCEEDED
    assert len({tuple(row.counts for row in masks(engine, job, i)) for i in range(len(images))}) == 1
    check_invariants(engine, job)


def test_prompts_go_to_the_windows_that_they_touch(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    prompts = [
        {"id": "wide", "box": [15, 365, 685, 475]},
        {"id": "point", "points": [[40, 40]], "labels": [1]},
        {"id": "out", "points": [[4000, 40]], "labels": [1]},
    ]
    task = {"type": "prompted", "tile": AUTO["tile"]}
    job = submit(engine, [bucket.put("a.tif", tiff(PIXELS))], task=task, prompts=[prompts], protocol=TILED)
    worker.segment_chunk(job, 0)
    (of_item,) = tile_jobs(engine, job)
    assert of_item.n_items < 12, "windows without a prompt are not segmented"
    assert settle(engine, worker, job) is End.DONE
    (result,) = result_rows(engine, job)
    assert [warning["code"] for warning in result.warnings] == ["PROMPT_FAILED"]
    found = masks(engine, job)
    assert [row.prompt for row in found] == ["wide", "point", "point", "point"]
    assert found[0].counts == rle.encode(OBJECTS[-1])["counts"]
    assert found[1].counts == rle.encode(OBJECTS[0])["counts"]


def test_a_tile_that_fails_fails_its_item_by_name(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    """The object changes between two tiles."""
    image = bucket.put("a.tif", tiff(PIXELS))
    job = submit(engine, [image], task=AUTO, protocol=TILED)
    worker.segment_chunk(job, 0)
    bucket.put("a.tif", tiff(PIXELS[::-1].copy()))
    assert settle(engine, worker, job) is End.DONE
    (result,) = result_rows(engine, job)
    assert result.reason == "STORAGE_UNAVAILABLE" and result.retryable
    assert result.detail.startswith("tile 223x210 at x=0, y=0: ") and "changed" in result.detail
    assert job_row(engine, job).state == JobState.FAILED
    check_invariants(engine, job)


def test_a_cancelled_job_takes_its_tiles_along(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    job = submit(engine, [bucket.put("a.tif", tiff(PIXELS))], task=AUTO, protocol=TILED)
    worker.segment_chunk(job, 0)
    with engine.begin() as connection:
        stop_job(connection, job, JobReason.CANCELLED_BY_CLIENT)
    (of_item,) = tile_jobs(engine, job)
    assert of_item.state == JobState.CANCELLED
    assert {row.state for row in chunk_rows(engine, of_item.id)} == {ChunkState.CANCELLED}
    check_invariants(engine, job)
    row = counts(engine, job)
    assert (row.cancelled, row.running, row.pending, row.tiles) == (1, 0, 0, None)
    with engine.begin() as connection:  # as code of the release before leaves it
        connection.execute(update(jobs).where(jobs.c.id == job).values(tile_of=None))
    look_after(engine, UnexpectedErrors())
    assert [row.tenant_id for row in tile_jobs(engine, job)] == [None]


def test_tiles_that_nobody_waits_for_are_stopped(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    """As a job leaves them that code of the release before has stopped."""
    job = submit(engine, [bucket.put("a.tif", tiff(PIXELS))], task=AUTO, protocol=TILED)
    worker.segment_chunk(job, 0)
    with engine.begin() as connection:
        connection.execute(update(chunks).where(chunks.c.job_id == job).values(state=ChunkState.CANCELLED))
        ended = {"state": JobState.CANCELLED, "ended_at": text("now()")}
        connection.execute(update(jobs).where(jobs.c.id == job).values(ended))
        assert len(connection.execute(*tiles.orphans()).all()) == 1
    look_after(engine, UnexpectedErrors())
    (of_item,) = tile_jobs(engine, job)
    assert (of_item.state, of_item.tenant_id) == (JobState.CANCELLED, None)


def test_a_result_of_tiles_is_taken_over(engine: Engine, bucket: Bucket, worker: Worker) -> None:
    image = bucket.put("a.tif", tiff(PIXELS))
    first = submit(engine, [image], task=AUTO, protocol=TILED)
    worker.segment_chunk(first, 0)
    settle(engine, worker, first)
    again, whole = (submit(engine, [image], task=task, protocol=TILED, reuse=True) for task in (AUTO, {"type": "auto"}))
    assert worker.segment_chunk(again, 0) is End.DONE
    (result,) = result_rows(engine, again)
    assert (result.reused_job, tile_jobs(engine, again)) == (first, [])
    assert worker.segment_chunk(whole, 0) is End.DONE
    assert result_rows(engine, whole)[0].reused_job is None, "neither the whole nor a tile of it is the same"
