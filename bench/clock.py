"""What time is measured by, and what the machine could do at best."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch


class Clock:
    """`wall` seconds, or `cpu` seconds of this process: on a shared machine, with one thread, only those compare."""

    def __init__(self, device: str, kind: str) -> None:
        self.device, self.kind = device, kind
        self._now = time.process_time if kind == "cpu" else time.perf_counter

    def now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return self._now()

    def seconds(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """How long one call takes, and what it returns."""
        start = self.now()
        result = work()
        return self.now() - start, result

    @contextmanager
    def stages(self, places: dict[str, list[tuple[Any, str]]]) -> Iterator[dict[str, float]]:
        """Adds up the seconds spent in each (owner, attribute) of a stage while the block runs."""
        spent: dict[str, float] = defaultdict(float)

        def watched(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def timed(*args: Any, **kwargs: Any) -> Any:
                taken, result = self.seconds(lambda: function(*args, **kwargs))
                spent[stage] += taken
                return result

            return timed

        with ExitStack() as stack:
            for stage, owners in places.items():
                for owner, name in owners:
                    stack.enter_context(patch.object(owner, name, watched(stage, getattr(owner, name))))
            yield spent


def matmul_rate(device: str, dtype: torch.dtype, clock: Clock) -> float:
    """Best of some products of 2048² (8192² on a GPU), in FLOP/s."""
    side = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return max(2 * side**3 / clock.seconds(lambda: a @ b)[0] for _ in range(5))
