"""Misbehaving stores, failing processes and wrong settings, as tests with servers of their own play them."""

from tests.attacks.attack import Check, Target, attack
from tests.attacks.by_test import by_test

PLAYED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "settings that are wrong: an unknown model, missing weights, no database URL; tenants",
        "`make up` ended in a traceback; tenants could not be created",
        ("tests/deploy/test_operator_errors.py", "tests/db/test_keys.py"),
    ),
    (
        "an exception in each step of the dispatcher, for one job",
        "the leader died, and every leader after it",
        ("tests/workers/dispatcher/test_leader.py", "tests/workers/dispatcher/test_ingester.py"),
    ),
    (
        "listings without end, without Key, with NUL, as HTML, unsorted; a store that is away or never answers",
        "281,000 items and no end; `ingesting` for ever; the dispatcher died",
        ("tests/workers/dispatcher/test_listing.py",),
    ),
    (
        "a prefix beyond the limit of open items",
        "15,000 opened where 100 are allowed",
        ("tests/workers/dispatcher/test_prefix.py",),
    ),
    (
        "a Postgres that dies during COPY",
        "the dispatcher ended",
        ("tests/workers/dispatcher/test_ingester.py::test_a_database_that_dies_during_copy_costs_nothing",),
    ),
    (
        "objects that drip, answers without a length, throttling; proxies, CA bundles and partitions",
        "a 2-image job waited over 45 s; KeyError; 32 images lost; reads failed where listings worked",
        (
            "tests/workers/pipeline/test_slow_objects.py",
            "tests/workers/storage/test_reading.py",
            "tests/workers/storage/test_client.py",
        ),
    ),
    (
        "a closed folder, as root",
        "'Postgres refuses to run as root'",
        ("tests/deploy/test_refuge.py",),
    ),
    (
        "the documented Secret, and Redis' password on a command line",
        "no `keda-connection`; the password was there",
        ("tests/deploy/test_secrets.py", "tests/deploy/test_images.py"),
    ),
    ("a flipped byte in the weights", "not noticed", ("tests/model/weights/test_weights.py",)),
    (
        "bfloat16 forced on and off",
        "`make test` was red on a processor that has it",
        ("tests/model/backends/test_precision.py", "tests/bench/test_model.py"),
    ),
    (
        "database URLs and poolers: a space in the password, options, several hosts, pgbouncer",
        "LISTEN and polls never connected, in silence",
        ("tests/db/test_url.py", "tests/deploy/test_poolers.py"),
    ),
    ("the commands of README and docs", "$URL, $KEY and $JOB were never defined", ("tests/test_readme.py",)),
    ("a stalled reader of results", "held a connection and a snapshot", ("tests/api/exports/test_exports.py",)),
    (
        "another tenant's job on every route, and calls without their scope",
        "keys had no scopes; no test went through every route",
        ("tests/api/test_scopes.py",),
    ),
    ("expired and rotated keys", "a key could not be rotated", ("tests/db/test_keys.py",)),
    (
        "a place outside the tenant's list: image, prefix, manifest, output, and a list that changes later",
        "every tenant might name every bucket of the installation",
        (
            "tests/api/jobs/test_places.py",
            "tests/workers/chunks/test_chunk.py::test_a_place_taken_from_the_tenants_list_is_not_read",
            "tests/workers/dispatcher/test_prefix.py::test_a_prefix_that_the_tenant_may_not_use_any_more",
        ),
    ),
)


def played(*names: str) -> Check:
    """A check that runs these tests."""

    def check(_: Target) -> str:
        return by_test(*names)

    return check


for what, before, names in PLAYED:
    attack(what, before)(played(*names))
