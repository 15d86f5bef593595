"""`python -m tests.attacks`: attack a running stack of its own and print what each attack was answered.

Each row shows what is sent, what the first release answered, and what is answered now. Exits with 1 where an answer is
not the right one. `--only WORD` runs the rows that mention it.
"""

import argparse
import importlib
import sys
import tempfile
import textwrap
import time
import traceback
from pathlib import Path

from deploy.local.stack import stack
from tests.attacks.attack import ATTACKS, Attack, Target

ROOMS = (
    "submits",
    "jobs",
    "webhooks",
    "annotations",
    "images_by_url",
    "surface",
    "globs",
    "pictures",
    "prompts",
    "tiles",
    "exports",
    "overlays",
    "outputs",
    "calls",
    "uploads",
    "sockets",
    "messages",
    "operators",
    "tenants",
)


def main() -> int:
    given = parsed()
    for room in ROOMS:
        importlib.import_module(f"tests.attacks.{room}")
    rows = [row for row in ATTACKS if given.only.lower() in f"{row.what} {row.check.__module__}".lower()]
    with tempfile.TemporaryDirectory(prefix="maskworks-attacks-") as folder:
        Path(folder).chmod(0o711)
        print(f"{len(rows)} attacks; starting the stack …", flush=True)
        with stack(Path(folder) / "data", models="sam_tiny,null", fast=True) as running:
            target = Target.of(running)
            failed = [row for row in rows if not tried(row, target)]
    print(f"{len(rows) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def tried(row: Attack, target: Target) -> bool:
    """Run one row and print it."""
    started = time.monotonic()
    try:
        now, passed = row.check(target), True
    except Exception as error:  # noqa: BLE001  one row must not end the table
        now, passed = "".join(traceback.format_exception_only(error)).strip(), False
    print(f"\n[{'ok' if passed else 'WRONG'}] {row.what} ({time.monotonic() - started:.1f} s)")
    for name, text in (("before", row.before), ("now", now)):
        print(textwrap.fill(text, 116, initial_indent=f"  {name:7}", subsequent_indent=" " * 9), flush=True)
    return passed


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the rows whose text or module contains this word")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
