"""Loops that numba compiles, and work divided among threads.

numba brings its compiler, so that no machine needs one. Where numba is missing, nothing here is called: callers look
at `AVAILABLE`, and have a way without it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import torch

try:
    from numba import njit
except ImportError:  # not installed, or not made for this version of Python yet
    AVAILABLE = False
else:
    AVAILABLE = True

Function = TypeVar("Function", bound=Callable[..., object])
Result = TypeVar("Result")


def compiled(function: Function) -> Function:
    """Compile at the first call, keep the result on disk, and let other threads run meanwhile."""
    if not AVAILABLE:
        return function
    # "numpy" lets a division by zero be infinite, as vector operations need it.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # neither the folder of the package nor the user's may be written
        return cast(Function, njit(**options)(function))


def divided(work: Callable[[int, int], Result], count: int) -> list[Result]:
    """`work` from one index to another of `count`, with about as many for each of torch's threads."""
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        return [work(0, count)]
    ends = [count * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, ends[:-1], ends[1:]))
