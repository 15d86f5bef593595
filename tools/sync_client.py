"""The synchronous client, made from the asynchronous one word by word."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from tools.layout import ROOT

SOURCE: Final = ROOT / "client/maskworks/aio"
HEAD: Final = "# Made from maskworks/aio/{name} by `python -m tools.documents`. Change that file.\n"
BY_HAND: Final = ("__init__.py", "runtime.py")
WORDS: Final = {
    "async def": "def",
    "async for": "for",
    "async with": "with",
    "await ": "",
    "maskworks.aio": "maskworks.sync",
    "AsyncIterator": "Iterator",
    "asynccontextmanager": "contextmanager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "aiter_lines": "iter_lines",
    "AsyncClient": "Client",
    "AsyncJobs": "Jobs",
    "AsyncAnnotations": "Annotations",
    "AsyncWebhookSecrets": "WebhookSecrets",
    "AsyncJob": "Job",
}
_ANY: Final = re.compile("|".join(rf"\b{re.escape(word)}" for word in WORDS))


def pages() -> dict[str, Callable[[], str]]:
    """The name of each file, and what writes it."""
    names = sorted(path.name for path in SOURCE.glob("*.py") if path.name not in BY_HAND)
    return {f"client/maskworks/sync/{name}": partial(_page, name) for name in names}


def _page(name: str) -> str:
    made = _ANY.sub(lambda found: WORDS[found.group()], (SOURCE / name).read_text())
    # Lines that became shorter may fit together, and imports have another order.
    sorted_imports = _ruff("check", "--select", "I", "--fix-only", "--quiet", text=made)
    return HEAD.format(name=name) + _ruff("format", text=sorted_imports)


def _ruff(*words: str, text: str) -> str:
    command = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(SOURCE.parent / "sync/any.py"), "-"]
    return subprocess.run(command, cwd=ROOT, input=text, text=True, capture_output=True, check=True).stdout
