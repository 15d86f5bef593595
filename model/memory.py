"""Keep freed memory in the process instead of returning it to the kernel after each operation.

Networks allocate and free the same tens of megabytes again and again. glibc returns blocks of that size to the
kernel, which clears every page at its next use. On virtual machines that costs more than the arithmetic.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory, for the whole process. Returns False where there is no glibc.

    Call it once, at the start of a process that computes on a CPU. All threads share one arena, because other arenas
    cannot hold large blocks. The process keeps its peak of resident memory, and aligned blocks leave gaps.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {M_MMAP_THRESHOLD: LARGE, M_TRIM_THRESHOLD: LARGE, M_ARENA_MAX: 1}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
