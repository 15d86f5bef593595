"""Numbers in a query string, as JSON writes them. `2.0` and `1_0` are not integers, ` 3` is not a number."""

import re

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")


def _integer(text: object) -> object:
    if isinstance(text, str) and not _INTEGER.fullmatch(text):
        raise PydanticCustomError("integer", "must be an integer")
    return text


def _number(text: object) -> object:
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise PydanticCustomError("number", "must be a number")
    return text


INTEGER = BeforeValidator(_integer)
NUMBER = BeforeValidator(_number)
"""Put it last among a parameter's annotations. The OpenAPI document then keeps the limits before it."""
