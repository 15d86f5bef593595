"""The layout of the code: each package, its rooms and files, with the first line of each docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

PACKAGES: Final = {
    "api": "The REST API. It speaks HTTP and SQL, and never imports torch.",
    "exports": "The files of results, one file for each format. They are written page by page, in constant memory.",
    "workers": "What runs beside a GPU, and what keeps it fed.",
    "intake": "Items as clients give them, in a body or a manifest. One set of rules for the API and the dispatcher.",
    "model": "Segment Anything: arrays in, masks out. The only package that imports torch.",
    "db": "What is remembered: states, tables, statements, migrations.",
    "deploy": "The stack on one machine, the demo, the container images and the Kubernetes files.",
    "client/maskworks": "The Python client and the command line: a distribution of its own, without the server.",
    "training": "How `sam_tiny` is trained. Not in the service's images.",
    "engine": "Masks made in three stages, and trained on. It is a program beside the service.",
    "evaluation": "How good the masks are. Not in the service's images.",
    "bench": "What things cost.",
    "tools": "What writes the generated pages.",
}

HEAD: Final = """# Layout of the code

Each package with its rooms and files. `python -m tools.documents` makes this page from the first line of each file's
docstring. `tests/` mirrors the packages. [Contributing](contributing.md) says where a change goes.
"""


def page() -> str:
    """docs/layout.md"""
    return HEAD + "".join(_package(name, purpose) for name, purpose in PACKAGES.items())


def first_line(path: Path) -> str:
    """The first line of a module's docstring; empty where it has none."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def files_of(package: str) -> list[Path]:
    """Every file of Python in a package but empty `__init__.py`."""
    found = sorted((ROOT / package).rglob("*.py"))
    return [path for path in found if path.name != "__init__.py" or path.read_text().strip()]


def _package(name: str, purpose: str) -> str:
    rooms: dict[Path, list[Path]] = {}
    for path in files_of(name):
        rooms.setdefault(path.parent, []).append(path)
    tables = "".join(part for room in sorted(rooms) for part in _room(name, room, rooms[room]))
    return f"\n## {name}\n\n{purpose}\n{tables}"


def _room(package: str, room: Path, files: list[Path]) -> Iterator[str]:
    name = room.relative_to(ROOT).as_posix()
    if name != package:
        yield f"\n### {name}\n"
    yield "\n| File | What it is |\n|---|---|\n"
    for path in files:
        purpose = first_line(path).replace("|", "\\|")
        yield f"| `{path.name}` | {purpose} |\n"
