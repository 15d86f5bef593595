"""The fault catalogue names every test of tests/faults, and no other; what the mutants replace is there."""

import ast
from pathlib import Path

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.mutants import MUTANTS, ROOT, Mutant

FAULTS = Path(__file__).parent / "faults"


def _tests_there_are() -> set[str]:
    found = set()
    for path in FAULTS.glob("test_*.py"):
        tree = ast.parse(path.read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        found |= {f"{path.name}::{name}" for name in names if name.startswith("test_")}
    return found


def test_the_catalogue_and_the_tests_agree() -> None:
    named = {test for tests in CATALOGUE.values() for test in tests}
    assert named == _tests_there_are()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mechanism)
def test_a_mutant_s_text_occurs_once(mutant: Mutant) -> None:
    """`make mutants` takes ten minutes; that a change moved what it replaces is seen here."""
    assert (ROOT / mutant.path).read_text().count(mutant.text) == 1
