"""Which keys under a prefix a job takes. Both the front door and the dispatcher read globs here.

A glob becomes a pattern of RE2, which matches in time linear in the length of the key.
`docs/inputs.md` gives the rules to users.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import re2

KNOWN_EXTENSIONS: Final = frozenset({
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "dib", "tif", "tiff", "gif", "avif", "heic", "heif",
    "hif", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "pnm", "ppm", "pgm", "pbm", "pam",
})  # fmt: skip
"""The files that a job without a glob takes, in lower case."""

CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that no name, URI or key may have, because a line, a log or Postgres cannot hold them."""

MAX_GLOB: Final = 1024
_MAX_PROGRAM = 1500
"""RE2 instructions. Each may cost one step for each byte of a key. About 180 `?` are allowed."""
_MAX_DEPTH = 5
_SLASH = ord("/")
_TOKEN: Final = re.compile(
    r"""(?P<folders>\*{2,}/) | (?P<anything>\*{2,}) | (?P<run>\*) | (?P<one>\?)
    | (?P<extension>\.(?:[A-Za-z0-9]+|\{[A-Za-z0-9,]+\})(?=[,}]|$))
    | \[(?P<negated>[!^]?+)(?P<members>(?:\]|\\.|[^\]\\])(?:\\.|[^\]\\])*)\]
    | (?P<opened>\{) | (?P<closed>\}) | (?P<comma>,)
    | \\(?P<escaped>.) | (?P<literal>[^\\\[])""",
    re.VERBOSE | re.DOTALL,
)
_FIXED: Final = {
    "folders": "(?:.*/)?", "anything": ".*", "run": "[^/]*", "one": "[^/]",
    "opened": "(?:", "closed": ")", "comma": "|",
}  # fmt: skip


class GlobError(ValueError):
    """The glob cannot be read; the message says where and what to write instead."""


def key_filter(glob: str | None) -> Callable[[str], bool]:
    """A predicate on the part of a key after the prefix: whether the job takes it. Raises GlobError."""
    if glob is None:
        return _is_plain_image
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        pattern = re2.compile(_translate(glob), options)
    except re2.error as error:
        raise GlobError("the glob is too complicated: use fewer wildcards and alternatives") from error
    if pattern.programsize > _MAX_PROGRAM:
        raise GlobError("the glob is too complicated: use fewer wildcards and alternatives")
    return lambda name: pattern.fullmatch(name) is not None


def _is_plain_image(name: str) -> bool:
    """The rule without a glob: a known extension in any case, and no hidden folder or file."""
    segments = name.split("/")
    _, dot, extension = segments[-1].rpartition(".")
    return bool(dot) and extension.lower() in KNOWN_EXTENSIONS and not any(s.startswith(".") for s in segments)


def _translate(glob: str) -> str:
    if len(glob) > MAX_GLOB:
        raise GlobError(f"the glob is longer than {MAX_GLOB} characters")
    pattern, depth = "", 0
    for kind, token in _tokens(glob):
        depth += {"opened": 1, "closed": -1}.get(kind, 0)
        if depth > _MAX_DEPTH:
            raise GlobError(f"the braces nest deeper than {_MAX_DEPTH}")
        # Outside braces a comma and a closing brace stand for themselves.
        outside = depth < 0 or (kind == "comma" and depth == 0)
        depth = max(depth, 0)
        pattern += re2.escape(token[0]) if outside else _pattern_of(kind, token)
    if depth:
        raise GlobError("a { is not closed: write \\{ for the brace itself")
    return pattern


def _tokens(glob: str) -> Iterator[tuple[str, "re.Match[str]"]]:
    at = 0
    while at < len(glob):
        token = _TOKEN.match(glob, at)
        if token is None or token.lastgroup is None:
            raise _unfinished(glob, at)
        yield token.lastgroup, token
        at = token.end()


def _unfinished(glob: str, at: int) -> GlobError:
    if glob[at] == "[":
        return GlobError(f"the [ at character {at + 1} is empty or not closed: write \\[ for the bracket itself")
    return GlobError("the glob ends in a backslash: write \\\\ for the backslash itself")


def _pattern_of(kind: str, token: "re.Match[str]") -> str:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == "extension":
        words = token[0].strip(".{}").split(",")
        return rf"\.(?:{'|'.join(f'(?i:{w})' if w.lower() in KNOWN_EXTENSIONS else w for w in words)})"
    if kind == "members":
        return _class(token["members"], negated=bool(token["negated"]))
    return str(re2.escape(token[kind]))


def _class(members: str, *, negated: bool) -> str:
    """A class never matches the slash, which separates folders."""
    if members.startswith("[:"):
        raise GlobError(f"classes like {members}] are not supported: write a range, for example [a-z]")
    spans = [
        piece
        for low, high in _ranges(members)
        for piece in ((low, min(high, _SLASH - 1)), (max(low, _SLASH + 1), high))
    ]
    spans = [(low, high) for low, high in spans if low <= high]
    if not spans and not negated:
        raise GlobError("[/] matches nothing: a class never matches a slash")
    text = "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in spans)
    return rf"[^/{text}]" if negated else f"[{text}]"


def _ranges(members: str) -> Iterator[tuple[int, int]]:
    parts = re.findall(r"\\.|.", members, re.DOTALL)
    at = 0
    while at < len(parts):
        low = high = parts[at][-1]
        at += 1
        if at + 1 < len(parts) and parts[at] == "-":
            high = parts[at + 1][-1]
            at += 2
        if low > high:
            raise GlobError(f"the range {low}-{high} runs backwards: write \\[ where a bracket itself is meant")
        yield ord(low), ord(high)
