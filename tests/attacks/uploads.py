"""Attacks on uploads: their names, their content, their size, and other tenants' folders."""

from tests.attacks.attack import Target, attack, picture, problem
from tests.attacks.by_test import by_test

TESTS = "tests/api/uploads/test_uploads.py"


@attack("names that lead out of the tenant's folder, or that no object may have", "not built")
def names(target: Target) -> str:
    for name in ("..%2Fother%2Fa.png", "%2e%2e%2fa.png", "%2Fetc%2Fpasswd"):
        assert target.http.put(f"/v1/uploads/{name}", content=picture()).status_code == 404, name
    for name in ("a%0A.png", "a%00.png", "a%3FversionId=1", "x" * 256):
        said = problem(target.http.put(f"/v1/uploads/{name}", content=picture()), 422, "INVALID_PARAMETER")
    return said


@attack("a page with a script, a program and a form, called a.png", "not built")
def no_images(target: Target) -> str:
    for content in (b"<html><script>alert(1)</script></html>", b"\x7fELF" + bytes(500), b"--b\r\n\r\nx\r\n--b--"):
        said = problem(target.http.put("/v1/uploads/a.png", content=content), 422, "UNSUPPORTED_FORMAT")
    return said


@attack("a picture that a browser would run as a page", "not built")
def polyglot(target: Target) -> str:
    """What S3 is told of its kind never makes a browser show it."""
    content = picture() + b"<html><script>alert(1)</script></html>"
    image = target.http.put("/v1/uploads/a.html", content=content).json()["image"]
    found = target.s3.head_object(Bucket=target.stack.bucket, Key=image.split("/", 3)[3])["ContentType"]
    assert found == "application/octet-stream", found
    return f"stored as {found}"


@attack("an image of 65 MB", "not built")
def large(target: Target) -> str:
    return problem(target.http.put("/v1/uploads/a.png", content=bytes(65 * 2**20)), 413, "BODY_TOO_LARGE")


@attack("a body without end, a gzip bomb, many at a time, other content under the same name", "not built")
def bodies(_target: Target) -> str:
    return by_test(
        f"{TESTS}::test_nothing_is_read_of_a_body_that_says_to_be_too_large_or_is_no_image",
        f"{TESTS}::test_a_bomb_is_no_larger_than_a_body_may_be",
        f"{TESTS}::test_so_many_at_a_time",
        f"{TESTS}::test_other_content_overwrites_nothing",
    )


@attack("a tenant of one place uploads elsewhere, and names the upload of another", "not built")
def tenants(_target: Target) -> str:
    return by_test(f"{TESTS}::test_a_tenant_of_one_place_uploads_only_if_its_folder_is_in_it")
