"""List and fetch checkpoints.

python -m model.weights list
python -m model.weights fetch sam_vit_b,mobile_sam
"""

import argparse
import os
import sys
from pathlib import Path

from model.errors import ModelError
from model.hub_name import is_hub_name
from model.sizes import SIZES, Size, size
from model.weights.fetch import fetch
from model.weights.files import BUNDLED, find


def main(arguments: list[str] | None = None) -> None:
    """The command line. Files go to --cache, by default MASKWORKS_CACHE."""
    parser = argparse.ArgumentParser(prog="python -m model.weights", description="Checkpoints of the known models.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names, sizes, licences and addresses")
    bring = commands.add_parser("fetch", help="bring published checkpoints into the cache")
    bring.add_argument("names", help="one name, or several with commas; nothing is fetched for a bundled model")
    bring.add_argument("--cache", type=Path, default=os.environ.get("MASKWORKS_CACHE", "~/.cache/maskworks"))
    bring.add_argument("--url", help="another address of the same file, such as a mirror; for one name")
    given = parser.parse_args(arguments)
    if given.command == "list":
        print("\n".join(_listed(row) for row in SIZES.values()))
        return
    names = [name.strip() for name in given.names.split(",") if name.strip()]
    if given.url and len(names) != 1:
        bring.error("--url is the address of one file: name one model")
    try:
        for row in [size(name) for name in names if not is_hub_name(name)]:
            print(_brought(row, given.cache.expanduser(), given.url))
    except ModelError as error:
        raise SystemExit(str(error)) from error
    for name in filter(is_hub_name, names):
        print(f"{name}: a worker gets it from the hub of transformers when it starts", file=sys.stderr)


def _brought(row: Size, cache: Path, url: str | None) -> Path:
    """The file in the cache, or the bundled one."""
    return find(row) if row.url is None and url is None else fetch(row, cache, url)


def _listed(row: Size) -> str:
    where = row.url or f"bundled as {BUNDLED.name}/{row.name}.safetensors"
    return f"{row.name:12} {row.parameters / 1e6:6.1f} M parameters  {row.licence:12} {where}"


if __name__ == "__main__":
    main()
