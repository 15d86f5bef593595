"""Attacks by the addresses of images: requests that the service would make for somebody else."""

from tests.attacks.attack import Target, attack, problem
from tests.attacks.by_test import by_test

HOSTS = (
    "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "2130706433", "0177.0.0.1", "0x7f000001", "127.1",
    "user:pass@images.example.com", "images.example.com:22", "localhost", "metadata.google.internal",
)  # fmt: skip


@attack("https images on loopback, metadata and other hosts, with passwords and ports", "422: must begin with s3://")
def hosts(target: Target) -> str:
    said = []
    for host in HOSTS:
        items = [{"image": f"https://{host}/latest/meta-data?X-Amz-Signature=5ec2e7"}]
        said.append(problem(target.submit({"input": {"items": items}}), 422))
        assert "/input/items/0/image" in said[-1] and "5ec2e7" not in said[-1], said
    return f"{len(said)} times {said[-1]}"


@attack("an allowed host that resolves to a private address, or to another one at the second look", "not built")
def rebinding(_target: Target) -> str:
    return by_test(
        "tests/workers/outbound/test_address.py",
        "tests/workers/storage/test_web_image.py::test_a_private_address_is_not_connected_to",
        "tests/workers/storage/test_web_image.py::test_the_address_that_was_checked_is_the_one_that_is_used",
    )


@attack("an allowed host that redirects to a private address, or sends more than it may", "not built")
def redirects(_target: Target) -> str:
    return by_test(
        "tests/workers/storage/test_web_image.py::test_a_redirect_is_never_followed",
        "tests/workers/storage/test_web_image.py::test_the_cap_holds",
    )


@attack("a presigned URL whose signature could be read in logs, errors and files", "not built")
def signatures(_target: Target) -> str:
    return by_test(
        "tests/workers/storage/test_web_image.py::test_no_log_has_the_query",
        "tests/workers/storage/test_web_image.py::test_each_status_has_its_reason",
        "tests/api/jobs/test_refusals.py::test_a_presigned_image_is_stored_whole_and_shown_without_its_signature",
    )
