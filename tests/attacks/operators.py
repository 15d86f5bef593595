"""What an operator gets wrong, and stores that misbehave: played by tests with processes and servers of their own."""

from tests.attacks.attack import Check, Target, attack
from tests.attacks.by_test import by_test

PLAYED = (
    (
        "settings that are wrong: an unknown model, missing weights, no database URL",
        "`make up` ended in a traceback",
        ("tests/deploy/test_operator_errors.py",),
    ),
)


def played(*names: str) -> Check:
    """A check that runs these tests."""

    def check(_: Target) -> str:
        return by_test(*names)

    return check


for what, before, names in PLAYED:
    attack(what, before)(played(*names))
