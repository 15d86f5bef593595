"""Refuse unknown query parameters, because a misspelt filter would select everything."""

import re
from typing import Any

from fastapi import Depends, Request

from api.refusals import InvalidParameter


async def _known(request: Request) -> None:
    """Raises InvalidParameter for the first name that is unknown or comes twice."""
    if not request.scope["query_string"]:
        return
    known = _parameters(request)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if not any(re.fullmatch(pattern, name) for pattern in known.values()):
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InvalidParameter(name, f"is not a parameter of this route: {takes}")
        if name in seen:
            raise InvalidParameter(name, "is given twice")
        seen.add(name)


def _parameters(request: Request) -> dict[str, str]:
    """This operation's query parameters in the OpenAPI document: name → pattern of the names that belong to it."""
    path = getattr(request.scope["route"], "path_format", "")
    operation = request.app.openapi()["paths"].get(path, {}).get(request.method.lower(), {})
    listed: list[dict[str, Any]] = operation.get("parameters", [])
    return {p["name"]: _pattern(p) for p in listed if p["in"] == "query"}


def _pattern(parameter: dict[str, Any]) -> str:
    """The schema of `label.{key}` has the pattern of its names in `propertyNames`."""
    names: str = parameter["schema"].get("propertyNames", {}).get("pattern", "")
    return names or re.escape(parameter["name"])


KNOWN_PARAMETERS = Depends(_known)
