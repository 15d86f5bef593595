"""What a model costs: stages, images/s, side by side with the plain way, memory, distance from the machine's rate.

    python -m bench.model --size sam_vit_b              everything, a table on the terminal and JSON in bench/results/
    python -m bench.model --size sam_tiny --parts stages,rates --clock cpu --threads 1

Weights are random (bench/blobs.py) unless a checkpoint is given or bundled; thresholds are set so that about a
hundred masks survive.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image

from bench import straightforward
from bench.blobs import as_blobs
from bench.clock import Clock, matmul_rate
from model import automatic, candidates, rle, weights
from model.mask import Mask
from model.rules import rules
from model.segmenter import Segmenter
from model.sizes import build, size
from model.spec import Automatic, Prompt, Prompted

RESULTS = Path(__file__).parent / "results"
PARTS = ("stages", "rates", "compare", "memory")
ENCODER_FLOP = {"sam_vit_b": 0.972e12, "sam_vit_l": 2.99e12, "sam_vit_h": 5.96e12}
DECODER_FLOP = 3.62e9  # a prompt, as the reference writes it
SURVIVORS = 100
Table = dict[str, Any]


def photograph(megapixels: float, name: str = "motorcycle_left.png") -> np.ndarray:
    """uint8 (H, W, 3) at 4:3, of a photograph in the scikit-image wheel."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    image = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
    return np.array(image.resize((round(height * 4 / 3), height), Image.Resampling.BICUBIC))


def segmenter(name: str, device: str, precision: str, checkpoint: Path | None) -> Segmenter:
    """Trained weights where there are any, else random ones with blobs for masks; no embedding is cached."""
    if checkpoint or (weights.BUNDLED / f"{name}.safetensors").is_file():
        sam, revision = weights.load(size(name), checkpoint)
    else:
        sam, revision = build(name, seed=0), "blobs-0"
        as_blobs(sam, straightforward.prepare(sam.row, photograph(0.3)))
    return Segmenter(sam, revision, device, precision, cache_bytes=0)


def calibrated(s: Segmenter, image: np.ndarray, points: int) -> tuple[Automatic, int]:
    """A task of points² whose threshold on predicted IoU lets SURVIVORS masks through, and how many it does.

    Suppression goes by predicted IoU descending, so what survives above a threshold does not depend on it.
    """
    loose = Automatic(points_per_side=points, pred_iou_thresh=0.0, stability_score_thresh=0.5, max_masks=20000)
    found = s.run([image], [loose])[0]
    kept = min(SURVIVORS, len(found) - 1)
    threshold = min(max(found[kept].predicted_iou, 0.0), 1.0)
    return replace(loose, pred_iou_thresh=threshold), kept


def clicks(image: np.ndarray, count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 2)) * np.asarray(image.shape[1::-1])


def points_task(image: np.ndarray, count: int) -> Prompted:
    return Prompted(tuple(Prompt(points=((float(x), float(y)),), labels=(1,)) for x, y in clicks(image, count)))


def stages(s: Segmenter, clock: Clock, image: np.ndarray, task: Automatic) -> Table:
    """Seconds of each stage of one automatic image."""
    places = {
        "preprocess": [(s, "pre")],
        "encode": [(s.sam, "encode")],
        "decode": [(s.sam, "decode_tokens"), (s.sam, "upscale")],
        "filter": [(automatic, "stable")],
        "nms": [(automatic, "nms")],
        "runs": [(candidates, "runs")],
        "rle": [(s, "post")],
    }
    with clock.stages(places) as spent:
        total, (masks,) = clock.seconds(lambda: s.run([image], [task]))
    found = {name: round(spent[name], 4) for name in places}
    return found | {"rest": round(total - sum(found.values()), 4), "total": round(total, 4), "masks": len(masks)}


def rates(s: Segmenter, clock: Clock, image: np.ndarray, task: Automatic, batches: list[int]) -> list[Table]:
    """Images/s of automatic masks and of 1 and 20 prompts, at several batch sizes."""
    rows = []
    for batch in batches:
        s.batch_images = batch
        images = [np.roll(image, 7 * i, axis=1) for i in range(batch)]
        row: Table = {"batch": batch}
        for name, one in (("auto", task), ("1 prompt", points_task(image, 1)), ("20 prompts", points_task(image, 20))):
            taken, _ = clock.seconds(lambda images=images, one=one: s.run(images, [one] * len(images)))
            row[f"{name} images/s"] = round(len(images) / taken, 4)
        rows.append(row)
    return rows


def agreement(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Table:
    """Of theirs, each matched with the most alike of ours: the least and the mean IoU."""
    mine = [rle.decode(m) for m in ours]
    best = [max((_iou(m, rle.decode(t)) for m in mine), default=0.0) for t in theirs]
    return {
        "masks": [len(ours), len(theirs)],
        "least IoU": round(min(best, default=1.0), 6),
        "mean IoU": round(float(np.mean(best or [1.0])), 6),
    }


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def compare(fast: Segmenter, exact: Segmenter, clock: Clock, image: np.ndarray, task: Automatic) -> Table:
    """Ours against the reference's order, on the same weights, image and thresholds, in this process."""
    row, device = exact.sam.row, exact.device
    state = exact.state_dict()
    settled, at = rules(task, row), clicks(image, 20)
    prompts = points_task(image, 20)
    with torch.inference_mode():
        slow, plain = clock.seconds(lambda: straightforward.automatic(state, row, image, settled, device))
        slow_prompts, plain_prompts = clock.seconds(lambda: straightforward.prompted(state, row, image, at, device))
    found: Table = {"straightforward": {"auto": round(slow, 3), "20 prompts": round(slow_prompts, 3)}}
    for name, s in (("exact", exact), ("fast", fast)):
        quick, (masks,) = clock.seconds(lambda s=s: s.run([image], [task]))
        quick_prompts, (answers,) = clock.seconds(lambda s=s: s.run([image], [prompts]))
        found[name] = {
            "auto": round(quick, 3),
            "auto ratio": round(slow / quick, 2),
            "auto agreement": agreement([m.rle for m in masks], [m for m, _ in plain]),
            "20 prompts": round(quick_prompts, 3),
            "20 prompts ratio": round(slow_prompts / quick_prompts, 2),
            "20 prompts agreement": in_order(answers, plain_prompts),
        }
    return found | {"networks": against_transformers(exact, clock, image)}


def in_order(ours: list[Mask], theirs: list[dict[str, Any]]) -> Table:
    """Prompted masks, matched by their place."""
    each = [_iou(rle.decode(a.rle), rle.decode(b)) for a, b in zip(ours, theirs, strict=True)]
    counts = [len(ours), len(theirs)]
    return {"masks": counts, "least IoU": round(min(each), 6), "mean IoU": round(float(np.mean(each)), 6)}


def against_transformers(s: Segmenter, clock: Clock, image: np.ndarray) -> Table:
    """Seconds of one image and of 64 points through the networks: transformers', the straightforward ones, ours."""
    row, state = s.sam.row, s.state_dict()
    if row.encoder != "vit":
        return {"skipped": "transformers has no TinyViT"}
    from tests.model.transformers_oracle import oracle

    theirs = oracle(s.sam.cpu().float()).to(s.device)
    s.sam.to(s.device)
    pixels = straightforward.prepare(row, image, s.device)
    points = torch.rand(64, 1, 2, device=s.device) * row.image_size
    labels = torch.ones(64, 1, dtype=torch.int64, device=s.device)
    first = torch.zeros(64, dtype=torch.int64)
    found: Table = {}
    with torch.inference_mode():
        embedding = s.sam.encode(pixels)
        alike = {"input_points": points[None], "input_labels": labels[None], "image_embeddings": embedding}
        for name, encode, decode in (
            ("transformers", lambda: theirs.get_image_embeddings(pixels), lambda: theirs(**alike)),
            (
                "straightforward",
                lambda: straightforward.encode(state, row, pixels),
                lambda: straightforward.decode(state, row, embedding, points, labels),
            ),
            ("ours", lambda: s.sam.encode(pixels), lambda: s.sam.decode(embedding, first, points, labels)),
        ):
            found[name] = {
                "encode": round(min(clock.seconds(encode)[0] for _ in range(2)), 3),
                "decode 64": round(min(clock.seconds(decode)[0] for _ in range(2)), 3),
            }
    return found


def memory(name: str, device: str, precision: str, points: int) -> list[Table]:
    """Peak above weights and interpreter for one automatic image of each size, each in a process of its own."""
    rows = []
    for megapixels, side in ((1, points), (12, points), (12, 2 * points), (50, points)):
        command = [sys.executable, "-m", "bench.model", "--size", name, "--device", device, "--peak", str(megapixels)]
        command += ["--points", str(side), "--precision", precision]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(out.splitlines()[-1]))
    return rows


def peak(name: str, device: str, precision: str, megapixels: float, points: int) -> Table:
    """In this process: the peak while one image runs, above what a first tiny image left."""
    s = segmenter(name, device, precision, None)
    s.warm()
    task = Automatic(points_per_side=points, pred_iou_thresh=0.0, stability_score_thresh=0.5, max_masks=100)
    image = photograph(megapixels)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before, read = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated
    else:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before, read = _resident("VmRSS"), lambda: _resident("VmHWM")
    masks = s.run([image], [task])[0]
    above = (read() - before) / 1e9
    return {"megapixels": megapixels, "points": points**2, "masks": len(masks), "peak GB": round(above, 3)}


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    name = size(arguments.size).name
    if arguments.peak:
        print(json.dumps(peak(name, arguments.device, arguments.precision, arguments.peak, arguments.points)))
        return
    clock = Clock(arguments.device, arguments.clock)
    report = measured(arguments, name, clock)
    RESULTS.mkdir(exist_ok=True)
    out = arguments.out or RESULTS / f"model-{name}-{arguments.device}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n→ {out}")


def measured(arguments: argparse.Namespace, name: str, clock: Clock) -> Table:
    image = photograph(1.0)
    exact, fast = (segmenter(name, arguments.device, p, arguments.checkpoint) for p in ("exact", "fast"))
    exact.warm()
    fast.warm()
    task, count = calibrated(fast, image, arguments.points)
    report: Table = {"model": name, "weights": exact.revision, "image": list(image.shape[:2]), "survivors": count}
    report |= {
        "iou threshold": task.pred_iou_thresh,
        "points": arguments.points**2,
        "clock": arguments.clock,
        "threads": arguments.threads,
    }
    report |= {"device": device_name(arguments.device), "torch": torch.__version__, "python": platform.python_version()}
    show("run", report)
    dtype = next(fast.sam.parameters()).dtype
    rate = matmul_rate(arguments.device, dtype, clock)
    report["matmul TFLOP/s"] = round(rate / 1e12, 3)
    if "stages" in arguments.parts:
        report["stages"] = {p: stages(s, clock, image, task) for p, s in (("exact", exact), ("fast", fast))}
        flop = ENCODER_FLOP.get(name, 0) + DECODER_FLOP * arguments.points**2 * (name in ENCODER_FLOP)
        report["share of matmul rate"] = round(flop / report["stages"]["fast"]["total"] / rate, 3)
        show("seconds by stage", report["stages"])
        show("FLOP as the reference writes it / s / matmul rate", report["share of matmul rate"])
    if "rates" in arguments.parts:
        report["rates"] = rates(fast, clock, image, task, arguments.batches)
        show("fast", report["rates"])
    if "compare" in arguments.parts:
        report["compare"] = compare(fast, exact, clock, image, task)
        show("side by side", report["compare"])
    if "memory" in arguments.parts:
        report["memory"] = memory(name, arguments.device, "fast", arguments.points)
        show("memory", report["memory"])
    return report


def show(title: str, value: Any) -> None:
    """One table on the terminal, a line for each row."""
    print(f"\n{title}", flush=True)
    if isinstance(value, dict):
        value = [{"": k} | (v if isinstance(v, dict) else {"is": v}) for k, v in value.items()]
    for row in value if isinstance(value, list) else [{"is": value}]:
        print("  " + "  ".join(f"{k} {v}" if k else f"{v:<16}" for k, v in row.items()), flush=True)


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="sam_tiny")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fast", choices=("exact", "fast"), help="of --peak")
    parser.add_argument("--points", type=int, default=32, help="points a side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--batches", type=lambda v: [int(b) for b in v.split(",")], default=[1, 2])
    parser.add_argument("--parts", type=lambda v: v.split(","), default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--peak", type=float, default=0, help="only the peak memory of so many megapixels")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
