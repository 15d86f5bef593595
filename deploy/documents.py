"""`python -m deploy.documents`: bring the file tree and the settings table of README.md, and env.example, up to date.

They are made from module docstrings and from the settings classes; a test fails where they are not what this makes.
"""

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "workers", "model", "db", "deploy", "bench")
SETTINGS = (("api", "api.settings"), ("worker", "workers.settings"))
ASSETS = {
    "deploy/Dockerfile": "Targets `api` (no torch) and `worker`",
    "deploy/compose.yaml": "The same services on one Docker host",
    "deploy/env.example": "Every setting, with its default",
    "deploy/k8s": "Kustomize base, overlays and the KEDA component",
    "db/migrations/versions/0001_first.sql": "The DDL: types, tables, CHECKs, partitions, triggers, the view `masks`",
    "db/migrations/versions/0002_tallies.sql": "The DDL: `tallies`, `chunks.tallied`, its partial index and trigger",
    "model/checkpoints/sam_tiny.safetensors": "The bundled weights; `sam_tiny.md` beside it is their model card",
}


def tree() -> str:
    """One line a file: its path and what its docstring says first."""
    lines = {str(path.relative_to(ROOT)): _purpose(path) for room in ROOMS for path in _files(room)}
    lines |= {name: text for name, text in ASSETS.items() if (ROOT / name).exists()}
    width = max(map(len, lines))
    rows = [f"{name:{width}}  {lines[name]}" for name in sorted(lines, key=_by_room)]
    return "```\n" + "\n".join(rows) + "\n```\n"


def _files(room: str) -> list[Path]:
    return [path for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py" or _docstring(path)]


def _by_room(name: str) -> tuple[int, int, str]:
    return ROOMS.index(name.split("/")[0]), name.count("/"), name


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def _purpose(path: Path) -> str:
    """The first sentence, cut where a line of the tree would grow too long."""
    first = " ".join(_docstring(path).split("\n\n")[0].split())
    sentence = first.split(". ")[0].split(": ", 1)[-1] if first.startswith("`") else first.split(". ")[0]
    sentence = sentence.rstrip(".")
    return sentence if len(sentence) <= 90 else sentence[:88].rsplit(" ", 1)[0] + " …"


def settings_rows() -> list[tuple[str, str, str, str]]:
    """(variable, read by, default, meaning), in the order of the classes; one row for a variable that both read."""
    rows: dict[str, tuple[str, str, str, str]] = {}
    for who, module in SETTINGS:
        for name, field in importlib.import_module(module).Settings.model_fields.items():
            variable = f"MASKWORKS_{name.upper()}"
            readers = f"{rows[variable][1]}, {who}" if variable in rows else who
            rows[variable] = (variable, readers, _default(field), field.description or "")
    return list(rows.values())


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Path):
        return str(value).replace(str(Path.home()), "~")
    return "" if value in (None, {}) else str(value)


def settings_table() -> str:
    rows = "\n".join(
        f"| `{variable}` | {readers} | {f'`{default}`' if default else '–'} | {meaning} |"
        for variable, readers, default, meaning in settings_rows()
    )
    return "| Variable | Read by | Default | Meaning |\n|---|---|---|---|\n" + rows + "\n"


def env_example() -> str:
    """Required settings to fill in; the others commented out with their defaults."""
    head = "# Every setting of maskworks. Made by `python -m deploy.documents`.\n"
    blocks = [
        f"\n# {meaning} ({readers})\n{'' if default == 'required' else '#'}{variable}="
        f"{'' if default == 'required' else default}\n"
        for variable, readers, default, meaning in settings_rows()
    ]
    return head + "".join(blocks)


def filled(text: str, mark: str, content: str) -> str:
    """`text` with what stands between the two marks replaced."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"README.md has no section {start.strip()} … {end}")
    return before + start + content + end + after


def documents() -> dict[Path, str]:
    """What each generated document should hold now."""
    readme = ROOT / "README.md"
    text = filled(filled(readme.read_text(), "tree", tree()), "settings", settings_table())
    return {readme: text, ROOT / "deploy" / "env.example": env_example()}


def main() -> int:
    for path, text in documents().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
