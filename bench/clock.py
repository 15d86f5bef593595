"""Time, the arithmetic done in it, and the best rate of the machine."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

Measure = Callable[[Callable[[], Any]], tuple[float, Any]]
CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class Clock:
    """`wall` seconds, or `cpu` seconds of this process: on a shared machine, with one thread, only those compare.

    Processor seconds count user and system time of every thread, so with more threads the waiting ones count
    too; a neighbour on the same core or cache still makes them longer, all of one process alike.
    """

    def __init__(self, device: str, kind: str) -> None:
        self.device, self.kind = device, kind
        self._now = time.process_time if kind == "cpu" else time.perf_counter

    def now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return self._now()

    def seconds(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """The seconds of one call, and its result."""
        start = self.now()
        result = work()
        return self.now() - start, result


@contextmanager
def by_stage(places: dict[str, tuple[Any, str]], measure: Measure) -> Iterator[dict[str, float]]:
    """Adds up what `measure` says of each call of a stage's (owner, attribute) while the block runs."""
    spent: dict[str, float] = defaultdict(float)

    def watched(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            value, result = measure(lambda: function(*args, **kwargs))
            spent[stage] += value
            return result

        return measured

    with ExitStack() as stack:
        for stage, (owner, name) in places.items():
            stack.enter_context(patch.object(owner, name, watched(stage, getattr(owner, name))))
        yield spent


def flop(work: Callable[[], Any]) -> tuple[float, Any]:
    """FLOP of matrix products, convolutions and attention (multiply and add are 2), and what the call returns."""
    with FlopCounterMode(display=False, custom_mapping={CPU_ATTENTION: _attention_flop}) as counter:
        result = work()
    return float(counter.get_total_flops()), result


def _attention_flop(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """Shapes (..., L, d): both products."""
    return 2 * math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def matmul_rate(device: str, dtype: torch.dtype, clock: Clock) -> float:
    """Best of some products of 2048² (8192² on a GPU), in FLOP/s."""
    side = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return max(2 * side**3 / clock.seconds(lambda: a @ b)[0] for _ in range(5))
