"""Where a key ends and a version begins."""

import pytest

from db.object_uri import ObjectUri, UriError, object_uri, prefix_uri, split_uri


@pytest.mark.parametrize(
    ("uri", "key", "version"),
    [
        ("s3://bucket/a/b c.jpg", "a/b c.jpg", None),
        ("s3://bucket/a.jpg?versionId=3sL4k~q_DmJ+r.mS-Y+M/Rx=", "a.jpg", "3sL4k~q_DmJ+r.mS-Y+M/Rx="),
        ("s3://bucket/a.jpg?versionId=null", "a.jpg", "null"),
        ("s3://bucket/q?x=1&y=#z.jpg", "q?x=1&y=#z.jpg", None),
        ("s3://bucket/q?x=1.jpg?versionId=1719", "q?x=1.jpg", "1719"),
        ("s3://bucket/a.jpg?versionid=1", "a.jpg?versionid=1", None),
        ("s3://bucket/a.jpg&versionId=1", "a.jpg&versionId=1", None),
        ("s3://bucket/a.jpg%3FversionId=1", "a.jpg%3FversionId=1", None),
    ],
)  # fmt: skip
def test_a_key_and_its_version(uri: str, key: str, version: str | None) -> None:
    assert object_uri(uri) == split_uri(uri) == ObjectUri("bucket", key, version)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a.jpg?versionId=", "s3://bucket/a.jpg?versionId=a b", "s3://bucket/a.jpg?versionId=a&partNumber=1",
        "s3://bucket/a.jpg?versionId=%2e%2e", "s3://bucket/a.jpg?versionId=a?versionId=b", "s3://bucket/?versionId=a",
        "s3://bucket/folder/?versionId=a", "s3://bucket?versionId=a", "s3://bucket/a.jpg?versionId=é",
        "s3://bucket/a.jpg?versionId=" + "a" * 1025, "s3://bucket/a/../b?versionId=a",
    ],
)  # fmt: skip
def test_what_names_no_version_is_refused(uri: str) -> None:
    with pytest.raises(UriError):
        object_uri(uri)


def test_the_limit_of_a_key_does_not_count_the_version() -> None:
    assert object_uri("s3://bucket/" + "k" * 1024 + "?versionId=" + "v" * 1024).key == "k" * 1024


def test_a_prefix_has_no_version() -> None:
    assert prefix_uri("s3://bucket/").key == ""
    with pytest.raises(UriError, match="names one object"):
        prefix_uri("s3://bucket/p/?versionId=a")
