"""Measure a model: time by stage, images a second, comparisons, gains, memory.

    python -m bench.model --size sam_vit_b              everything: tables, and JSON in bench/results/
    python -m bench.model --size tiny --parts stages,rates --clock cpu --threads 1

JSON is written after every row, so a run that is cut keeps what it has; parts that are not asked for stay as they
were. Weights are random (bench/blobs.py) unless a checkpoint is given or bundled; thresholds are set so that about
a hundred masks survive.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bench import compare, memory, peers, processor
from bench.clock import Clock, matmul_rate
from bench.large import large
from bench.middle import middle
from bench.passes import passes
from bench.photographs import NAMES, calibrated, loose, photograph
from bench.rates import rates
from bench.stages import stages
from bench.steps import steps
from bench.weights import segmenters
from model.backends.sam import Segmenter
from model.device import working_dtype
from model.masks.frames import Pixels
from model.memory import keep_freed_memory
from model.sizes import size
from model.spec import Automatic

RESULTS = Path(__file__).parent / "results"
MEMORY_ROWS = ((1, 1.0), (12, 0.5), (12, 1.0), (12, 2.0), (50, 0.5))  # megapixels, points a side of those asked for
BFLOAT16 = {"auto": None, "on": True, "off": False}
Table = dict[str, Any]


@dataclass
class Bench:
    """One model on one device; what several parts need is made once, when the first of them does."""

    given: argparse.Namespace
    clock: Clock
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return bench_size(self.given.size)

    @property
    def ours(self) -> dict[str, Segmenter]:
        """Both precisions, or `exact` alone where `fast` would be the same."""
        found: dict[str, Segmenter] = self._once("ours", self._load)
        return found

    @property
    def precisions(self) -> list[str]:
        same = working_dtype(self.given.device, "fast", BFLOAT16[self.given.bfloat16]) == torch.float32
        return ["exact"] if same else ["exact", "fast"]

    def _load(self) -> dict[str, Segmenter]:
        found = segmenters(
            self.name, self.given.device, self.precisions, self.given.checkpoint, BFLOAT16[self.given.bfloat16]
        )
        for s in found.values():
            if self.given.compile:
                s.compile_encoder()
            s.warm()
        return found

    @property
    def fast(self) -> Segmenter:
        return list(self.ours.values())[-1]

    @property
    def rate(self) -> float:
        """FLOP/s of a matrix product in the dtype of `fast`."""
        return float(self._once("rate", lambda: matmul_rate(self.given.device, self.fast.sam.dtype, self.clock)))

    def task(self, image: Pixels, photo: str = NAMES[0]) -> Automatic:
        if self.given.threshold is not None:
            return replace(loose(self.given.points), pred_iou_thresh=self.given.threshold)
        found, kept = self._once(f"task {photo}", lambda: calibrated(self.fast, image, self.given.points))
        print(f"{photo}: predicted IoU above {found.pred_iou_thresh:.4f} lets {kept} masks survive", flush=True)
        task: Automatic = found
        return task

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def part_stages(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    for s in bench.ours.values():
        yield from stages(s, bench.clock, image, bench.task(image), bench.rate)


def part_rates(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    yield from rates(bench.fast, bench.clock, image, bench.task(image), bench.given.batches)


def part_compare(bench: Bench) -> Iterator[Table]:
    for photo in bench.given.photographs:
        image = photograph(bench.given.megapixels, photo)
        task = bench.task(image, photo)
        about: Table = {"photograph": photo, "size": f"{image.shape[1]}x{image.shape[0]}"}
        about["threshold"] = round(task.pred_iou_thresh or 0, 6)
        for row in compare.compare(bench.ours, bench.clock, image, task):
            yield about | row


def part_peers(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    exact = bench.ours["exact"]
    if exact.sam.row.encoder != "vit":
        yield {"what": "nothing: transformers has no such encoder"}
        return
    yield from compare.networks(exact, bench.clock, image)
    yield compare.pipelines(exact, bench.clock, image, bench.task(image), bench.given.peer_points)


def part_steps(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    yield from steps(bench.ours["exact"], bench.clock, image, bench.task(image), bench.given.step_points)


def part_encoder(bench: Bench) -> Iterator[Table]:
    yield from peers.encoders(bench.ours, bench.clock, photograph(bench.given.megapixels))


def part_passes(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    yield from passes(bench.ours["exact"], bench.clock, image, bench.task(image))


def part_middle(bench: Bench) -> Iterator[Table]:
    image = photograph(bench.given.megapixels)
    yield from middle(bench.ours["exact"], bench.clock, image, bench.task(image))


def part_large(bench: Bench) -> Iterator[Table]:
    yield from large(bench.ours["exact"], bench.clock)


def part_memory(bench: Bench) -> Iterator[Table]:
    given = bench.given
    for megapixels, share in MEMORY_ROWS:
        points = max(round(given.memory_points * share), 1)
        if given.device.startswith("cuda"):
            for s in bench.ours.values():
                yield memory.peak_cuda(s, megapixels, points)
        else:
            for precision in bench.precisions:
                yield memory.of_child(bench.name, precision, megapixels, points, given.threads)


PARTS: dict[str, tuple[str, Callable[[Bench], Iterator[Table]]]] = {
    "stages": ("where the seconds of one automatic image go, and the fraction of the product rate", part_stages),
    "rates": ("images a second", part_rates),
    "compare": ("side by side with the straightforward order, on the same weights and thresholds", part_compare),
    "peers": ("side by side with transformers", part_peers),
    "steps": ("what each rearrangement gains: seconds after the encoder without it", part_steps),
    "encoder": ("the image encoder beside OpenVINO's and transformers', turn by turn", part_encoder),
    "passes": ("stability, boxes and runs on a CPU, compiled and without numba", part_passes),
    "middle": ("`exact` with products in bfloat16", part_middle),
    "large": ("growing images beside the straightforward order", part_large),
    "memory": ("peak memory of one automatic image, above interpreter and weights", part_memory),
}

ASKED_FOR = ("encoder", "passes", "middle", "large")  # parts that run only where --parts names them


def main() -> None:
    given = parsed()
    torch.set_num_threads(given.threads)
    if given.device == "cpu":
        keep_freed_memory()  # as a worker does; everything that is compared has it
    bench = Bench(given, Clock(given.device, given.clock))
    out = given.out or RESULTS / f"model-{bench.name}-{given.device}.json"
    report = json.loads(out.read_text()) if out.is_file() else {}
    deadline = time.monotonic() + given.budget
    for part in given.parts:
        title, rows = PARTS[part]
        print(f"\n{bench.name}: {title} ({seconds_are(given)})", flush=True)
        report[part] = {"title": title, "how": how(bench, part), "rows": []}
        if part in (given.parts[0], "memory"):
            print("  " + "  ".join(f"{k}: {v}" for k, v in report[part]["how"].items()), flush=True)
        for row in before(deadline, rows(bench)):
            report[part]["rows"].append(row)
            write(out, report)
            print(line(row), flush=True)
    print(f"\n→ {out}")


def before(deadline: float, rows: Iterator[Table]) -> Iterator[Table]:
    """Rows as long as there is time; a last one says where some are left out."""
    while time.monotonic() < deadline:
        row = next(rows, None)
        if row is None:
            return
        yield row
    yield {"left out": "from here on, the budget is spent"}


def how(bench: Bench, part: str) -> Table:
    """What the figures depend on; memory is measured in processes of their own, for which nothing is loaded here."""
    given = bench.given
    found: Table = {
        "seconds are": seconds_are(given),
        "threads": given.threads,
        "precisions": "exact and fast" if len(bench.precisions) > 1 else "exact, and fast: float32 too on this device",
    }
    if part != "memory":
        found |= {
            "points": given.points**2,
            "weights": bench.fast.revision,
            "encoder compiled": given.compile,
            "product rate TFLOP/s": round(bench.rate / 1e12, 4),
        }
    return found | {
        "freed memory kept": given.device == "cpu",
        "device": device_name(given.device),
        **({} if given.device.startswith("cuda") else processor.about()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
    }


def seconds_are(given: argparse.Namespace) -> str:
    threads = f"{given.threads} thread{'s' if given.threads > 1 else ''}"
    return f"processor seconds of {threads}" if given.clock == "cpu" else f"wall seconds, {threads}"


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=RESULTS.parent, capture_output=True, text=True)
    return done.stdout.strip()


def write(out: Path, report: Table) -> None:
    out.parent.mkdir(exist_ok=True)
    fresh = out.with_suffix(".part")
    fresh.write_text(json.dumps(report, indent=1) + "\n")
    fresh.replace(out)


def line(row: Table) -> str:
    """One row on the terminal: every figure beside its name."""
    return "  " + "  ".join(
        f"{value:<24}" if key in ("what", "stage") else f"{key} {value}" for key, value in row.items()
    )


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def bench_size(name: str) -> str:
    """`tiny` for `sam_tiny`, and so on."""
    known = name if name.startswith(("sam_", "mobile_")) else f"sam_{name}"
    return size(known).name


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--size", default="sam_tiny", help="sam_vit_b, sam_vit_l, sam_vit_h, mobile_sam, sam_tiny (or vit_b, tiny)")
    add("--checkpoint", type=Path)
    add("--device", default="cpu")
    add(
        "--bfloat16", default="auto", choices=tuple(BFLOAT16), help="whether `fast` computes in it; auto: by the device"
    )
    add("--compile", action="store_true", help="compile the image encoder first (CUDA; minutes)")
    add("--points", type=int, default=32, help="points a side")
    add("--threshold", type=float, help="of predicted IoU, instead of one that lets a hundred masks survive")
    add("--peer-points", type=int, default=8, help="the same, beside transformers")
    add("--step-points", type=int, default=16, help="the same, where steps are taken back")
    add("--memory-points", type=int, default=32, help="the same, for memory: half, one and two times as many")
    add("--megapixels", type=float, default=1.0, help="of the photograph, memory aside")
    add("--threads", type=int, default=torch.get_num_threads())
    add("--clock", default="wall", choices=("wall", "cpu"))
    add("--batches", type=lambda v: [int(b) for b in v.split(",")], default=[1, 2])
    add("--parts", type=lambda v: v.split(","), default=[p for p in PARTS if p not in ASKED_FOR], help=", ".join(PARTS))
    add("--photographs", type=lambda v: v.split(","), default=[NAMES[0]], help=f"of --parts compare: {','.join(NAMES)}")
    add("--budget", type=float, default=3600, help="no row is begun after so many seconds")
    add("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
