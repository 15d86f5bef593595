"""The tag of an object, by which a result is known again: an ETag or a version."""

import pytest

from tests.conftest import Bucket
from tests.workers.hostile_s3 import HostileS3, send
from tests.workers.storage.conftest import Change
from workers.settings import Settings
from workers.storage.client import s3_client
from workers.storage.reading import Objects


def test_an_object_that_is_known_is_not_fetched(server: HostileS3, objects: Change) -> None:
    server.answer = lambda connection, _: send(connection, b"", 'ETag: "1"', length=5)
    one = objects().open("s3://b/k?versionId=7")
    assert one.read({'etag "1"'}.__contains__) is None and one.tag == 'etag "1"'
    assert [head.split(" HTTP")[0] for head in server.heads] == ["HEAD /b/k?versionId=7"]


@pytest.mark.parametrize(
    ("headers", "tag"),
    [
        (('ETag: "2"', "x-amz-version-id: v"), 'etag "2"'),
        (("x-amz-version-id: v",), "version v"),
        (("x-amz-version-id: null",), None),
        ((), None),
    ],
)
def test_the_tag_is_that_of_the_object_that_was_read(
    server: HostileS3, objects: Change, headers: tuple[str, ...], tag: str | None
) -> None:
    """It may have changed since it was asked for."""
    server.answer = lambda connection, head: (
        send(connection, b"", 'ETag: "1"') if head.startswith("HEAD") else send(connection, b"12345", *headers)
    )
    one = objects().open("s3://b/k")
    assert one.read(lambda _: False) == b"12345" and one.tag == tag


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "503 Slow Down", "501 Not Implemented"])
def test_where_the_tag_is_refused_the_answer_with_the_object_tells_it(
    server: HostileS3, objects: Change, status: str
) -> None:
    server.answer = lambda connection, head: (
        send(connection, b"", status=status) if head.startswith("HEAD") else send(connection, b"12345", 'ETag: "1"')
    )
    one = objects().open("s3://b/k")
    assert one.read({'etag "2"'}.__contains__) == b"12345" and one.tag == 'etag "1"'
    assert objects().open("s3://b/k").read({'etag "1"'}.__contains__) is None


def test_the_store_gives_the_same_tag_to_both(bucket: Bucket, settings: Settings) -> None:
    objects, uri = Objects(s3_client(settings), settings), bucket.put("a.jpg", b"12345")
    first, again = objects.open(uri), objects.open(uri)
    assert first.read() == b"12345" and first.tag is not None
    assert again.read({first.tag}.__contains__) is None
