"""An object as a file: parts by range, of one state of the object."""

import numpy as np
import pytest

from db.states import ItemReason
from model.tiles.grid import Window
from tests.conftest import Bucket
from tests.workers.hostile_s3 import HostileS3, send, send_error
from tests.workers.images.encoding import tiff
from tests.workers.storage.conftest import Change
from workers.failures import ItemFailed
from workers.images.windows import open_windows
from workers.settings import Settings
from workers.storage.client import s3_client
from workers.storage.object_file import BLOCK, ObjectFile
from workers.storage.reading import Objects

DATA = np.random.default_rng(0).bytes(9 * BLOCK + 77)


def test_any_part_of_an_object_can_be_read(bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("a.bin", DATA)
    file = ObjectFile(Objects(s3_client(settings), settings).parts(uri))
    assert len(file) == len(DATA) and file.tag is not None
    file.expect([(3 * BLOCK + 5, 5 * BLOCK), (5 * BLOCK, 6 * BLOCK)])
    for start, stop in ((0, 10), (BLOCK - 3, BLOCK + 3), (3 * BLOCK, 6 * BLOCK + 1), (len(DATA) - 5, len(DATA) + 5)):
        assert file[start:stop] == DATA[start:stop]
    file.seek(-10, 2)
    assert file.read() == DATA[-10:] and file.read(5) == b"" and file.tell() == len(DATA)


def test_an_object_that_changes_is_noticed(bucket: Bucket, settings: Settings) -> None:
    uri = bucket.put("b.bin", DATA)
    file = ObjectFile(Objects(s3_client(settings), settings).parts(uri))
    bucket.put("b.bin", DATA[::-1])
    with pytest.raises(ItemFailed, match="changed while it was read") as caught:
        file[8 * BLOCK : 8 * BLOCK + 1]
    assert caught.value.reason is ItemReason.STORAGE_UNAVAILABLE


def test_windows_of_an_image_in_a_bucket(bucket: Bucket, settings: Settings) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    uri = bucket.put("large.tif", tiff(pixels, photometric="rgb", tile=(256, 256)))
    file = ObjectFile(Objects(s3_client(settings), settings).parts(uri))
    with open_windows(file, 10**6) as windows:
        assert np.array_equal(windows.read(Window(700, 900, 500, 600)), pixels[900:1500, 700:1200])


def test_stores_that_know_no_ranges_or_no_such_bytes(server: HostileS3, objects: Change) -> None:
    limits = objects(max_image_bytes=10**7)
    server.answer = lambda connection, _: send(connection, b"12345", 'ETag: "1"')
    with pytest.raises(ItemFailed, match="does not answer range requests"):
        ObjectFile(limits.parts("s3://b/k"))
    server.answer = lambda connection, _: send_error(connection, "416 Range Not Satisfiable", "InvalidRange")
    with pytest.raises(ItemFailed, match="is empty"):
        ObjectFile(limits.parts("s3://b/k"))


def test_parts_are_asked_for_by_tag_and_tried_again(server: HostileS3, objects: Change) -> None:
    limits = objects(max_image_bytes=10**7)
    size = 2 * BLOCK
    heads = iter(range(100))

    def answer(connection: object, head: str) -> None:
        start = 0 if "bytes=0-" in head else BLOCK
        if next(heads) == 1:
            send_error(connection, "500 Internal Server Error", "InternalError")  # type: ignore[arg-type]
            return
        told = (f"Content-Range: bytes {start}-{start + BLOCK - 1}/{size}", 'ETag: "7"')
        send(connection, b"x" * BLOCK, *told, status="206 Partial Content")  # type: ignore[arg-type]

    server.answer = answer
    file = ObjectFile(limits.parts("s3://b/k"))
    assert file[BLOCK : BLOCK + 2] == b"xx"
    asked = [head.lower() for head in server.heads]
    assert len(asked) == 3 and 'if-match: "7"' in asked[2] and "if-match" not in asked[0]
