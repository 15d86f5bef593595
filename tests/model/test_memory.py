"""Freed memory stays in the process, so a repeated operation touches no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
import torch
from model.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)
def work():
    x = torch.ones(10_000_000)
    for i in range(48):
        if i == 24:  # the heap has found its size
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x + x
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
work()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def _faults(mode: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a glibc setting")
def test_keep_freed_memory_ends_page_faults_in_every_thread() -> None:
    kept, default = _faults("kept"), _faults("default")
    assert len(kept) == len(default) == 2
    assert max(kept) < min(default) / 10
