"""Which places in S3 a tenant may name, and what an entry of its list can be."""

import pytest

from db.allow_list import AllowList, BadPlace, read_place

PHOTOS = AllowList(("images", "other"), ("s3://images/photos/", "s3://other/"))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://images/photos/a.jpg", "s3://images/photos/", "s3://images/photos/2026", "s3://other/", "s3://other/x/y.png",
        "s3://images/photos/a.jpg?versionId=1", "https://example.org/a.jpg",
    ],
)  # fmt: skip
def test_what_lies_in_a_place(uri: str) -> None:
    assert PHOTOS.refusal(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://images/photos", "s3://images/pho", "s3://images/", "s3://images/photos2/a.jpg", "s3://images/Photos/a.jpg",
        "s3://other", "s3://others/a.jpg", "s3://images/photos/../secret/a.jpg", "s3://images/./photos/a.jpg",
        "s3://images/photos/..", "s3://third/photos/a.jpg",
    ],
)  # fmt: skip
def test_what_does_not(uri: str) -> None:
    assert PHOTOS.refusal(uri)


def test_the_installations_list_comes_first() -> None:
    assert "MASKWORKS_BUCKETS" in str(AllowList(("images",), ("s3://other/",)).refusal("s3://other/a.jpg"))
    assert "tenant" in str(AllowList(("*",), ("s3://other/",)).refusal("s3://images/a.jpg"))
    assert AllowList(("*",)).allows("s3://any/a.jpg") and not AllowList(()).allows("s3://any/a.jpg")
    assert not AllowList(("*",), ()).allows("s3://any/a.jpg")


@pytest.mark.parametrize(
    ("text", "place"),
    [("s3://images", "s3://images/"), ("s3://images/a b/ä", "s3://images/a b/ä/"), ("s3://i-1.x/", "s3://i-1.x/")],
)
def test_an_entry_ends_with_a_slash(text: str, place: str) -> None:
    assert read_place(text) == place == read_place(place)


@pytest.mark.parametrize(
    "text", ["", "images", "s3://", "s3://I/", "s3://images//", "s3://images/a/../b", "s3://images/a\n", "https://a.b/"]
)
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(BadPlace):
        read_place(text)
