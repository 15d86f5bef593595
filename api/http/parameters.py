"""Query parameters that an operation does not have are refused: a misspelt filter must not select everything."""

import re
from typing import Any

from fastapi import Depends, Request

from api.errors import InvalidParameter


async def _known(request: Request) -> None:
    """Raises InvalidParameter for the first name that is unknown, or given twice."""
    if not request.scope["query_string"]:
        return
    known = _parameters(request)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if not any(re.fullmatch(pattern, name) for pattern in known.values()):
            takes = f"this route takes {', '.join(known)}" if known else "this route takes none"
            raise InvalidParameter(name, f"is no parameter here: {takes}")
        if name in seen:
            raise InvalidParameter(name, "is given twice")
        seen.add(name)


def _parameters(request: Request) -> dict[str, str]:
    """The names of this operation's query parameters by the OpenAPI document, each with the pattern it stands for."""
    path = getattr(request.scope["route"], "path_format", "")
    operation = request.app.openapi()["paths"].get(path, {}).get(request.method.lower(), {})
    listed: list[dict[str, Any]] = operation.get("parameters", [])
    return {p["name"]: _pattern(p) for p in listed if p["in"] == "query"}


def _pattern(parameter: dict[str, Any]) -> str:
    """An object that is spread over the query (`label.{key}`) says by `propertyNames` which names are its own."""
    names: str = parameter["schema"].get("propertyNames", {}).get("pattern", "")
    return names or re.escape(parameter["name"])


KNOWN_PARAMETERS = Depends(_known)
