"""Measure encoder and decoder alone, beside straightforward ones on the same weights in the same process.

    python -m bench.encoder_decoder                  # ViT-B, 64 points: a few minutes on two cores
    python -m bench.encoder_decoder --model sam_tiny

Seconds are the best of `--repeats`: processor time of all threads, and wall time. The products' own rate is
measured in the same process and says how near a stage is to what this machine multiplies. Every answer is
compared with the straightforward one.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench import straightforward
from bench.stages import ENCODER_FLOP
from model.memory import keep_freed_memory
from model.networks.sam import Sam
from model.weights.seeding import build

PRODUCT = 1024


@dataclass(frozen=True)
class Timing:
    """Best of several runs, for the whole stage."""

    stage: str
    implementation: str
    memory_kept: bool
    cpu_seconds: float
    wall_seconds: float
    difference: float  # largest, to the straightforward answer


def best(work: Callable[[], Tensor], repeats: int) -> tuple[Tensor, float, float]:
    """The answer, and the least processor and wall seconds."""
    cpu, wall = [], []
    for _ in range(repeats):
        at = time.process_time(), time.perf_counter()
        answer = work()
        cpu.append(time.process_time() - at[0])
        wall.append(time.perf_counter() - at[1])
    return answer, min(cpu), min(wall)


def product_rate(repeats: int) -> float:
    """Measured GFLOP a processor second of a float32 matrix product."""
    a = torch.randn(PRODUCT, PRODUCT)
    _, cpu, _ = best(lambda: a @ a, 5 * repeats)
    return 2 * PRODUCT**3 / cpu / 1e9


def stages(sam: Sam, points: int) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """What is timed: stage → implementation → work. Tiny encoders have no straightforward twin."""
    row, weights = sam.row, dict(sam.state_dict())
    random = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, row.image_size, row.image_size, generator=random)
    embedding = sam.encode(pixels)
    xy = torch.rand(points, 1, 2, generator=random) * row.image_size
    labels, index = torch.ones(points, 1, dtype=torch.int64), torch.zeros(points, dtype=torch.int64)
    encode: dict[str, Callable[[], Tensor]] = {"ours": lambda: sam.encode(pixels)}
    if row.encoder == "vit":
        encode = {"straightforward": lambda: straightforward.encode(weights, row, pixels), **encode}
    return {
        "encode one image": encode,
        f"decode {points} points, all masks": {
            "straightforward": lambda: straightforward.decode(weights, row, embedding, xy, labels)[0],
            "ours": lambda: sam.decode(embedding, index, xy, labels)[0],
        },
        f"predicted IoU of {points} points": {
            "straightforward": lambda: straightforward.decode(weights, row, embedding, xy, labels)[1],
            "ours": lambda: sam.decode_tokens(embedding, index, xy, labels).iou,
        },
    }


@torch.inference_mode()
def measure(model: str, points: int, repeats: int) -> list[Timing]:
    """Every stage by every implementation, first with glibc's defaults, then with freed memory kept."""
    work = stages(build(model, seed=0), points)
    found = []
    for kept in (False, True):
        if kept and not keep_freed_memory():
            break
        for stage, implementations in work.items():
            expected = None
            for name, run in implementations.items():
                answer, cpu, wall = best(run, repeats)
                expected = answer if expected is None else expected
                found.append(Timing(stage, name, kept, cpu, wall, (answer - expected).abs().max().item()))
                print(_line(found), flush=True)
    return found


def _line(found: list[Timing]) -> str:
    now = found[-1]
    first = next(t for t in found if t.stage == now.stage)
    beside = next(t for t in found if t.stage == now.stage and t.memory_kept == now.memory_kept)
    return (
        f"{now.stage:32} {now.implementation:15} {'memory kept' if now.memory_kept else '':11} "
        f"cpu {now.cpu_seconds:8.3f} s  wall {now.wall_seconds:8.3f} s  "
        f"x{beside.cpu_seconds / now.cpu_seconds:4.2f} beside, x{first.cpu_seconds / now.cpu_seconds:4.2f} in all  "
        f"difference {now.difference:.1e}"
    )


def main() -> None:
    """Print the table; write it with --out."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoder_decoder", description=__doc__)
    parser.add_argument("--model", default="sam_vit_b")
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rate = product_rate(given.repeats)
    print(f"{given.model}, {given.threads} threads, products at {rate:.0f} GFLOP a processor second")
    found = measure(given.model, given.points, given.repeats)
    for one in found:
        if one.stage.startswith("encode") and given.model in ENCODER_FLOP:
            share = ENCODER_FLOP[given.model] / 1e9 / one.cpu_seconds / rate
            print(f"{one.implementation} encoder: {share:.0%} of the products' rate")
    if given.out:
        context = {"model": given.model, "threads": given.threads, "points": given.points, "product_gflops": rate}
        machine = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        report = {**context, **machine, "timings": [asdict(t) for t in found]}
        given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
