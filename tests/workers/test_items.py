"""What a file has to say reaches its item's row: frames, warnings, and the depth that the job asked for."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine

from tests.conftest import Bucket
from tests.jobs import result_rows, submit
from tests.workers.images.encoding import noise, pillow, smooth, tiff
from workers.chunks.chunk import End
from workers.worker import Worker

Start = Callable[..., Worker]
TWELVE_BITS = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def test_frames_and_warnings_are_stored(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    four = np.dstack([smooth(), smooth()[..., 0]])
    images = [
        bucket.put("plain.png", pillow("PNG", smooth())),
        bucket.put("two.gif", pillow("GIF", smooth(), save_all=True, append_images=[Image.fromarray(noise())])),
        bucket.put("bands.tif", tiff(four, photometric="rgb", extrasamples=["unspecified"])),
        bucket.put("cut.tif", tiff(four, photometric="rgb", extrasamples=["unspecified"])[:-1]),
    ]
    job = submit(engine, images)
    assert start_worker().segment_chunk(job, 0) is End.DONE
    rows = result_rows(engine, job)
    assert [row.frames for row in rows] == [1, 2, 1, None]
    assert [row.warnings and row.warnings[0]["code"] for row in rows] == [None, "FRAMES_IGNORED", "BANDS_IGNORED", None]
    assert rows[1].warnings == [
        {"code": "FRAMES_IGNORED", "detail": "the file holds 2 images; the first was taken", "prompt_id": None}
    ]
    assert rows[3].reason == "DECODE_FAILED"


@pytest.mark.parametrize(
    ("depth", "detail"),
    [
        (None, "16-bit samples 0–4095 were scaled to 0–255"),
        ("auto", "16-bit samples 0–4095 were scaled to 0–255"),
        ("full_range", "16-bit samples 0–65535 were scaled to 0–255"),
        ("percentiles", "16-bit samples 4.095–4090.905 were scaled to 0–255"),
    ],
)
def test_the_jobs_depth_is_used(
    engine: Engine, bucket: Bucket, start_worker: Start, depth: str | None, detail: str
) -> None:
    image = bucket.put("deep.tif", tiff(TWELVE_BITS, photometric="minisblack"))
    given = {"items": 1} | ({} if depth is None else {"depth": depth})
    job = submit(engine, [image], input=given)
    assert start_worker().segment_chunk(job, 0) is End.DONE
    (row,) = result_rows(engine, job)
    assert row.warnings == [{"code": "DEPTH_SCALED", "detail": detail, "prompt_id": None}]
