"""`exact` with products in bfloat16 and everything else in float32: torch's setting for oneDNN.

Where the processor has no units for bfloat16 the setting changes nothing, and the ratio is about 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

from bench.agreement import agreement
from bench.clock import Clock
from model.backends.sam import Segmenter
from model.masks.frames import Pixels
from model.spec import Automatic

Table = dict[str, Any]


@contextmanager
def bfloat16_products() -> Iterator[None]:
    """Let float32 products of a CPU be computed in bfloat16."""
    matmul = cast(Any, torch.backends.mkldnn).matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def middle(s: Segmenter, clock: Clock, image: Pixels, task: Automatic) -> Iterator[Table]:
    """Seconds of `exact` with the setting and without, and how far the masks agree."""
    plain, (expected,) = clock.seconds(lambda: s.run([image], [task]))
    with bfloat16_products():
        seconds, (masks,) = clock.seconds(lambda: s.run([image], [task]))
    alike = agreement([m.rle for m in masks], [m.rle for m in expected])
    yield (
        {"exact s": round(plain, 3), "with bfloat16 products s": round(seconds, 3)}
        | {"ratio": round(plain / seconds, 2)}
        | alike
    )
