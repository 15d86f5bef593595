"""The table of settings, from the settings classes."""

import importlib
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from workers.testing.settings import CrashSettings, NullSettings

SETTINGS: Final = (
    ("api", "api.settings"),
    ("worker", "workers.settings"),
    ("dispatcher", "workers.dispatcher.settings"),
)
"""Who reads a class of settings, and its module."""

_FOR_TESTS: Final = {*CrashSettings.model_fields, *NullSettings.model_fields}

HEAD: Final = """# Settings

Every setting is an environment variable. `python -m tools.documents` makes this page.

"""


def page() -> str:
    """docs/settings.md"""
    rows = "".join(
        f"| `{variable}` | {readers} | {f'`{default}`' if default else '–'} | {meaning} |\n"
        for variable, readers, default, meaning in rows_of_settings()
    )
    return f"{HEAD}| Variable | Read by | Default | Meaning |\n|---|---|---|---|\n{rows}"


def rows_of_settings() -> list[tuple[str, str, str, str]]:
    """(variable, read by, default, meaning), in the order of the classes; one row for a variable that both read."""
    rows: dict[str, tuple[str, str, str, str]] = {}
    for who, module in SETTINGS:
        settings: type[BaseSettings] = importlib.import_module(module).Settings
        for name, field in settings.model_fields.items():
            if name in _FOR_TESTS:
                continue
            variable = f"MASKWORKS_{name.upper()}"
            readers = f"{rows[variable][1]}, {who}" if variable in rows else who
            rows[variable] = (variable, readers, _default(field), field.description or "")
    return list(rows.values())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    if isinstance(value, Path):
        return str(value).replace(str(Path.home()), "~")
    return "" if value in (None, {}) else str(value)
