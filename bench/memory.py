"""Measure the peak memory of one automatic image, above interpreter and weights.

    python -m bench.memory --size sam_vit_b --megapixels 12 --points 16     one row, as JSON

On a CPU each row is a process of its own. Its baseline is taken once the weights are there, before any image is
read and with what was freed handed back to the kernel; then it keeps freed memory as a worker does, runs a small
image, and the peak from there on counts: the image itself, its embedding, everything. On CUDA it is what the
allocator had at most, above the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from bench.photographs import loose, photograph
from bench.weights import segmenter
from model.backends.sam import Segmenter
from model.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
KEPT = 100  # masks of an image that are answered with
Table = dict[str, Any]


def of_child(name: str, precision: str, megapixels: float, points: int, threads: int) -> Table:
    """One row on the CPU, in a process of its own."""
    asked = {"size": name, "precision": precision, "megapixels": megapixels, "points": points, "threads": threads}
    command = [sys.executable, "-m", "bench.memory", *(v for k, o in asked.items() for v in (f"--{k}", str(o)))]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    row: Table = json.loads(out.splitlines()[-1])
    return row


def peak_cpu(s: Segmenter, megapixels: float, points: int) -> Table:
    """In this process, which has run nothing else before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _resident("VmRSS")
    keep_freed_memory()
    s.warm()
    warm = _resident("VmRSS")
    image = photograph(megapixels)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    masks = s.run([image], [loose(points, KEPT)])[0]
    peak = _resident("VmHWM")
    return _row(s, megapixels, points, len(masks), peak - before) | {"above a small image GB": _gb(peak - warm)}


def peak_cuda(s: Segmenter, megapixels: float, points: int) -> Table:
    """What the allocator had at most, above the weights."""
    image = photograph(megapixels)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    masks = s.run([image], [loose(points, KEPT)])[0]
    torch.cuda.synchronize()
    return _row(s, megapixels, points, len(masks), torch.cuda.max_memory_allocated() - before)


def _row(s: Segmenter, megapixels: float, points: int, masks: int, above: float) -> Table:
    dtype = str(s.sam.dtype).removeprefix("torch.")
    return {
        "megapixels": megapixels,
        "points": points**2,
        "precision": f"{s.precision} ({dtype})",
        "masks": masks,
        "peak GB": _gb(above),
    }


def _gb(size: float) -> float:
    return round(size / 1e9, 3)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--size", default="sam_vit_b")
    parser.add_argument("--precision", default="exact", choices=("exact", "fast"))
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--points", type=int, default=16, help="points a side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    s = segmenter(given.size, "cpu", given.precision)
    print(json.dumps(peak_cpu(s, given.megapixels, given.points)))


if __name__ == "__main__":
    main()
