"""What the processor can do: its features, and the rate that its units allow."""

from __future__ import annotations

import os
import platform
from pathlib import Path

FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
# FLOP a core does in a cycle, where each unit takes the widest vector: the best feature that is there counts.
FLOAT32 = {"avx512f": 64, "avx2": 32}
BFLOAT16 = {"amx_bf16": 1024, "avx512_bf16": 128}


def about() -> dict[str, object]:
    """Its name, cores, features, and theoretical peaks in TFLOP/s at the clock that it reports."""
    found, cores, clock = features(), len(os.sched_getaffinity(0)), megahertz()
    return {
        "processor": value("model name") or platform.machine(),
        "cores": cores,
        "features": [name for name in FEATURES if name in found],
        "MHz": round(clock),
        "peak TFLOP/s float32": peak(FLOAT32, found, cores, clock),
        "peak TFLOP/s bfloat16": peak(BFLOAT16, found, cores, clock),
    }


def features() -> set[str]:
    """All flags of /proc/cpuinfo."""
    return set(value("flags").split())


def megahertz() -> float:
    """The clock of the first core now. Some virtual machines report the base clock."""
    return float(value("cpu MHz") or 0)


def peak(table: dict[str, int], found: set[str], cores: int, clock: float) -> float | None:
    """TFLOP/s of all cores, or None where the processor has no unit of the table."""
    best = next((flop for name, flop in table.items() if name in found), None)
    return best and round(best * cores * clock / 1e6, 3)


def value(name: str) -> str:
    """The first line of /proc/cpuinfo with this name, or ""."""
    place = Path("/proc/cpuinfo")
    lines = place.read_text().splitlines() if place.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.split("\t")[0].strip() == name), "")
