"""`https://host/path?query` as the image of an item: its form, its secret part, and the hosts that are allowed."""

import ipaddress
import re
from typing import Final

from db.image_page import page_of, without_page
from db.object_uri import UriError
from db.web_url import WebUrl, web_url

_MAX_BYTES: Final = 4096
"""A presigned URL of AWS has a session token of its own."""
_PORT: Final = 443
# The parts of a presigned URL that differ each time that it is signed.
_SIGNATURE: Final = re.compile(r"x-(amz|goog)-.*", re.IGNORECASE)


def is_web(image: str) -> bool:
    return image.startswith("https://")


def web_image(image: str) -> WebUrl:
    """The file of an image, whose URL may end in a page. Raises UriError."""
    # Names without a dot exist inside of a cluster. The hosts that are allowed decide about them.
    url = web_url(without_page(image), private=True, most=_MAX_BYTES)
    if url.scheme != "https":
        raise UriError("must begin with https://")
    if _is_address(url.host):
        raise UriError("must name its host by a name, not by an address")
    segments = _path(url).lower().replace("%2e", ".").split("/")
    if _path(url) == "/" or ".." in segments or "." in segments:
        raise UriError("must have a path that names an image, without . or .. segments")
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path(url: WebUrl) -> str:
    return url.path.partition("?")[0]


def file_path(image: str) -> str:
    """The path without its first slash, which names the image in files."""
    return _path(web_image(image))[1:]


def shown_image(image: str) -> str:
    """An item's image for answers, files and logs. The query is left out: it is a secret where the URL is presigned."""
    if not is_web(image):
        return image
    page = page_of(image)
    return shown_url(web_image(image)) + ("" if page is None else f"#page={page}")


def shown_url(url: WebUrl) -> str:
    return f"https://{url.authority}{_path(url)}{'?…' if '?' in url.path else ''}"


def unsigned(image: str) -> str:
    """The same for each signature of the same object."""
    url = web_image(image)
    path, _, query = url.path.partition("?")
    kept = [part for part in query.split("&") if not _SIGNATURE.fullmatch(part.partition("=")[0])]
    return f"https://{url.authority}{path}?{'&'.join(kept)}"


def host_allowed(url: WebUrl, allowed: tuple[str, ...]) -> bool:
    """`allowed` has hosts, as `images.example.com`, `*.example.com` or `*`. Another port than 443 is named with it."""
    hosts = {url.authority} if url.port != _PORT else {url.host, f"{url.host}:{_PORT}"}
    for entry in allowed:
        if entry in hosts or (entry == "*" and url.port == _PORT):
            return True
        if entry.startswith("*.") and any(host.endswith(entry[1:]) for host in hosts):
            return True
    return False
