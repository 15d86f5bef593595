"""The fault catalogue names every test of tests/faults, and no other."""

import ast
from pathlib import Path

from tests.faults.catalogue import CATALOGUE

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
