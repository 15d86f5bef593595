"""What the documents name exists: files, folders, modules and tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Not the changelog: it also names what is gone.
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
OURS = "api|bench|db|deploy|docs|engine|evaluation|model|tests|tools|training|workers"
PATH = re.compile(rf"`((?:{OURS})/(?!\.)[\w./-]*)(?:::(\w+))?`")
MODULE = re.compile(rf"\bpython -m ((?:{OURS})\b[\w.]*)")


def missing_paths(text: str) -> Iterator[str]:
    for path, name in PATH.findall(text):
        if not (ROOT / path).exists() or (name and name not in functions(ROOT / path)):
            yield f"{path}::{name}" if name else path


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing_modules(text: str) -> Iterator[str]:
    for module in MODULE.findall(text):
        path = ROOT / module.rstrip(".").replace(".", "/")
        if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists()):
            yield module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_what_exists(page: Path) -> None:
    text = page.read_text()
    assert [*missing_paths(text), *missing_modules(text)] == []


def test_what_is_missing_is_found() -> None:
    text = "`tests/test_named.py::nobody` and `docs/nowhere.md`, `python -m bench.nothing`"
    assert [*missing_paths(text)] == ["tests/test_named.py::nobody", "docs/nowhere.md"]
    assert [*missing_modules(text)] == ["bench.nothing"]


def test_every_promise_names_a_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text().partition("\n## Try it")[0]
    promises = [row for row in page.splitlines() if row.startswith("| ") and not row.startswith("| Promise")]
    assert promises and [row for row in promises if "`tests/" not in row] == []
