"""A body of multipart/form-data, as it comes: the part `image` with octets, the part `request` with JSON."""

from typing import Final

from multipart import MultipartError, PushMultipartParser, parse_options_header

from api.refusals import InvalidBody

MEDIA_TYPE: Final = "multipart/form-data"
_PARTS: Final = ("image", "request")


class Form:
    """`feed` it the body's pieces, then `finish`. Each raises InvalidBody."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get("boundary", "")
        try:
            self._parser = PushMultipartParser(boundary, max_segment_count=len(_PARTS))
        except MultipartError as error:
            raise _refusal("", f"its Content-Type has no usable boundary: {error}") from error
        self._parts: dict[str, bytearray] = {}
        self._name = ""

    def feed(self, piece: bytes) -> None:
        if not piece:
            return
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, bytes | bytearray):
                    self._parts[self._name] += event
                elif event is not None:
                    self._begin(event.name or "")
        except MultipartError as error:
            raise _refusal("", f"is not a form of the parts image and request: {error}") from error

    def finish(self) -> tuple[bytes, bytes]:
        """The JSON, `{}` where there is none, and the image."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _refusal("", f"ends too early: {error}") from error
        image = bytes(self._parts.pop("image", b""))
        if not image:
            raise _refusal("/image", "is missing or empty: send the image as the part `image`")
        return bytes(self._parts.pop("request", b"{}")), image

    def _begin(self, name: str) -> None:
        if name not in _PARTS:
            raise _refusal("", "has a part of another name: a form has the parts `image` and `request`")
        if name in self._parts:
            raise _refusal(f"/{name}", "is there twice")
        self._name = name
        self._parts[name] = bytearray()


def _refusal(pointer: str, detail: str) -> InvalidBody:
    return InvalidBody([{"pointer": pointer, "detail": detail}])
