"""`python -m tools.pages`: build `web/` into `api/static/pages/`, with licences, and a stamp of what it was built from.

The built pages are in the repository, so that a clone without Node shows them. A test compares the stamp.
"""

import gzip
import hashlib
import json
import subprocess
from pathlib import Path

from tools.layout import ROOT

WEB = ROOT / "web"
BUILT = ROOT / "api/static/pages"
STAMP = "stamp.json"
LICENCES = "licences.txt"
WASM = "ort-wasm-simd-threaded.wasm"
INSIDE = ("onnxruntime-common",)
"""Packages whose code comes with that of a dependency. Further dependencies are not in the built pages."""


def stamp() -> dict[str, str]:
    """Digests of the sources and of what stands in the folder of the built pages."""
    sources = [p for p in WEB.rglob("*") if p.is_file() and "node_modules" not in p.relative_to(WEB).parts]
    built = [p for p in BUILT.rglob("*") if p.is_file() and p.name != STAMP]
    return {"sources": _digest(WEB, sources), "built": _digest(BUILT, built)}


def read_stamp() -> dict[str, str]:
    found: dict[str, str] = json.loads((BUILT / STAMP).read_text())
    return found


def build() -> None:
    for words in (["npm", "ci", "--silent"], ["npm", "run", "build", "--silent"]):
        subprocess.run(words, cwd=WEB, check=True)
    # A quarter of the size, in the repository and on the way. The page unpacks it.
    wasm = (WEB / "node_modules/onnxruntime-web/dist" / WASM).read_bytes()
    (BUILT / f"{WASM}.gz").write_bytes(gzip.compress(wasm, mtime=0))
    (BUILT / LICENCES).write_text(licences())
    (BUILT / STAMP).write_text(json.dumps(stamp(), indent=1) + "\n")


def licences() -> str:
    """The licences of the packages whose code is in the built pages."""
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    bundled = sorted({*packages[""]["dependencies"], *INSIDE})
    return "\n\n".join(_licence(name, packages[f"node_modules/{name}"]) for name in bundled) + "\n"


def _licence(name: str, facts: dict[str, str]) -> str:
    """Packages that carry no text have it in web/licences."""
    own = sorted((WEB / "licences").glob(f"{name}.txt"))
    folder = WEB / "node_modules" / name
    texts = own or sorted(p for p in folder.iterdir() if p.name.lower().startswith(("license", "licence", "notice")))
    if not texts:
        raise SystemExit(f"{name} carries no licence: put its text into web/licences/{name}.txt")
    head = f"{name} {facts['version']} ({facts.get('license', 'see below')})"
    return "\n\n".join([head, *(text.read_text().strip() for text in texts)])


def _digest(root: Path, files: list[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(root).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


if __name__ == "__main__":
    build()
