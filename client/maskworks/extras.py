"""Packages that only some calls need."""

import importlib
from typing import Any

from maskworks.errors import MissingExtra


def extra(module: str, what: str, name: str) -> Any:
    """The module, imported now. Raises MissingExtra, which says what needs it and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, name) from error
