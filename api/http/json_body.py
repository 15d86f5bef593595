"""The bytes of a body → a JSON object, or the refusal of the request."""

from typing import Any, Final

from api.refusals import BodyTooLarge, InvalidBody
from intake.json_object import BadObject, n_values, read_object

MAX_VALUES: Final = 2_000_000


def parse_object(body: bytes) -> dict[str, Any]:
    """Raises InvalidBody, or BodyTooLarge for too many values."""
    if n_values(body) > MAX_VALUES:
        raise BodyTooLarge(f"the body has more than {MAX_VALUES} JSON values: submit several jobs")
    try:
        return read_object(body)
    except BadObject as error:
        raise InvalidBody([{"pointer": at, "detail": detail} for at, detail in error.faults]) from error
