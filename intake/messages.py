"""Texts for refused values: one table, and the JSON pointer to the value.

Pydantic's own texts and its names of inner steps never reach a client. An error of pydantic's that is not in the table
reads `UNEXPECTED`, and tests look for that.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

UNEXPECTED = "is not an accepted value"
_OBJECT = "must be a JSON object"
_ARRAY = "must be a JSON array"
_WHOLE = "must be an integer"
_TIME = "must be a time with its zone, such as 2030-01-01T00:00:00Z"
TEXTS: dict[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "unexpected_keyword_argument": "is not a known field",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "dict_type": _OBJECT,
    "tuple_type": _ARRAY,
    "list_type": _ARRAY,
    "none_required": "must be null or absent",
    "string_type": "must be a string",
    "string_too_short": "is too short: the minimum length is {min_length}",
    "string_too_long": "is too long: the maximum length is {max_length}",
    "string_pattern_mismatch": "must match the regular expression {pattern}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE + " with fewer digits",
    "int_from_float": _WHOLE,
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is missing",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
}
_PYDANTICS_OWN = frozenset(get_args(ErrorType))


def text_of(error: Mapping[str, Any]) -> str:
    """One of pydantic's error details → what is wrong with the value and what is expected."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in TEXTS:
        return TEXTS[kind].format_map(context)
    return UNEXPECTED if kind in _PYDANTICS_OWN else str(error["msg"])


def pointer(keys: Sequence[str | int]) -> str:
    """RFC 6901: ("labels", "a/b") → "/labels/a~1b"."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def body_pointer(error: Mapping[str, Any]) -> str:
    """The place in the body of a submit. Steps that pydantic adds for a branch of a union or a bad key are left out."""
    keys = list(error["loc"])
    if keys[:1] == ["task"] and len(keys) > 1:
        keys = ["task", *keys[2:]]
    elif keys == ["task"] and error["type"].startswith("union_tag"):
        keys = ["task", "type"]
    if keys[:1] == ["labels"] and len(keys) == 3:
        keys = keys[:2]
    return pointer(keys)
