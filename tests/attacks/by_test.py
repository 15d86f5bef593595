"""Attacks that need stores or processes of their own: run the test that plays them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def by_test(*names: str, seconds: float = 300) -> str:
    """Run these tests (pytest's node ids). Raises AssertionError with pytest's output where one fails or none runs."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "--no-header", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:]
    assert done.returncode == 0, f"{' '.join(names)}: {done.stdout[-1500:]}"
    return f"{', '.join(names)}: {last}"
