"""What every route that streams a file takes: a reader, the tenant's slots, and the name of a format."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.http.slots import Slots
from exports.pages import Reader


async def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.export_reader
    return reader


async def _slots(request: Request) -> Slots:
    slots: Slots = request.app.state.export_slots
    return slots


ExportReader = Annotated[Reader, Depends(_reader)]
ExportSlots = Annotated[Slots, Depends(_slots)]


def one_of(names: Collection[str]) -> BeforeValidator:
    """Refuses other names, and lists these."""

    def known(name: object) -> object:
        if name not in names:
            raise PydanticCustomError("format", f"must be one of {', '.join(names)}")
        return name

    return BeforeValidator(known)


def enum_of(names: Collection[str]) -> WithJsonSchema:
    """The names in the OpenAPI document."""
    return WithJsonSchema({"type": "string", "enum": list(names)})
