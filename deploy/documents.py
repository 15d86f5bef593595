"""`python -m deploy.documents`: write docs/settings.md and deploy/env.example from the settings classes.

A test fails where they are out of date.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SETTINGS = (("api", "api.settings"), ("worker", "workers.settings"))


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


def documents() -> dict[Path, str]:
    """What each generated document should hold now."""
    head = "# Settings\n\nEvery setting is an environment variable. `python -m deploy.documents` makes this page.\n\n"
    return {ROOT / "docs" / "settings.md": head + settings_table(), ROOT / "deploy" / "env.example": env_example()}


def main() -> int:
    for path, text in documents().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
