"""Types of fields that jobs and items share."""

from collections.abc import Callable
from typing import Annotated, Final, TypeGuard

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from db.bands import MOST, Bands
from db.globs import CONTROL_CHARACTERS
from db.object_uri import UriError, image_uri
from db.web_image import is_web, web_image

_LONGEST: Final = 255
NO_CONTROL: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
"""`plain` as a pattern, for the OpenAPI document."""


def plain(text: str) -> str:
    """For pydantic: refuse control characters."""
    if CONTROL_CHARACTERS.search(text):
        raise PydanticCustomError("control_character", "must not contain control characters")
    return text


def checked_uri(check: Callable[[str], object], uri: str) -> str:
    """For pydantic: the URI, if `check` accepts it."""
    try:
        check(uri)
    except UriError as error:
        # Passed as a parameter, because pydantic reads braces in the text as a template.
        raise PydanticCustomError("s3_uri", "{why}", {"why": str(error)}) from error
    return uri


def _image_uri(uri: str) -> str:
    return checked_uri(web_image if is_web(uri) else image_uri, uri)


def is_plain_text(value: object) -> TypeGuard[str]:
    """Whether a value is a PlainText."""
    return isinstance(value, str) and 1 <= len(value) <= _LONGEST and not CONTROL_CHARACTERS.search(value)


def each_once(what: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """For pydantic: refuse a list of names that is empty or has one of them twice. `what` a name is, as "event"."""

    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise PydanticCustomError("no_name", "{why}", {"why": f"must name at least one {what}"})
        if len(set(names)) < len(names):
            raise PydanticCustomError("unique", "{why}", {"why": f"must not name the same {what} twice"})
        return names

    return check


def _bands(bands: Bands) -> Bands:
    """For pydantic."""
    if len(bands) not in (1, 3) or len(set(bands)) < len(bands):
        raise PydanticCustomError("bands", "must be one band, or three different ones")
    return bands


PlainText = Annotated[str, Field(min_length=1, max_length=_LONGEST), AfterValidator(plain)]
BandNumbers = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MOST)], ...],
    AfterValidator(_bands),
    WithJsonSchema(
        {
            **{"type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": True},
            "items": {"type": "integer", "minimum": 1, "maximum": MOST},
        }
    ),
]
ImageURI = Annotated[str, AfterValidator(_image_uri), Field(examples=["s3://bucket/photos/a.jpg"])]
