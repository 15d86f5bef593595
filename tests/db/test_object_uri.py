"""Where a key ends and a version begins."""

import pytest

from db.image_page import page_of, without_page
from db.object_uri import ObjectUri, UriError, image_uri, object_uri, prefix_uri, split_uri
from db.web_image import file_path, shown_image, web_image


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


@pytest.mark.parametrize("uri", ["s3://bucket/a.tif", "s3://bucket/a.tif?versionId=7", "https://host/a.tif?sig=1"])
def test_an_image_may_name_a_page(uri: str) -> None:
    assert (page_of(f"{uri}#page=3"), without_page(f"{uri}#page=3")) == (3, uri) and page_of(uri) is None
    if uri.startswith("s3"):
        assert image_uri(f"{uri}#page=3") == split_uri(f"{uri}#page=3") == object_uri(uri)
        with pytest.raises(UriError, match="is for images"):
            object_uri(f"{uri}#page=3")
    else:
        assert web_image(f"{uri}#page=3") == web_image(uri)
        assert (shown_image(f"{uri}#page=3"), file_path(f"{uri}#page=3")) == ("https://host/a.tif?…#page=3", "a.tif")
        for wrong in ("#page=0", "#page=", "#page=x", "#page=3#page=3", "#frame"):
            with pytest.raises(UriError, match="fragment"):
                web_image(uri + wrong)


def test_a_prefix_has_no_version() -> None:
    assert prefix_uri("s3://bucket/").key == ""
    with pytest.raises(UriError, match="names one object"):
        prefix_uri("s3://bucket/p/?versionId=a")
