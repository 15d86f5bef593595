"""The benches of the model: they run to their end, and what they say adds up."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import compare
from bench.agreement import agreement
from bench.blobs import as_blobs
from bench.clock import Clock, by_stage, flop
from bench.model import Bench, before
from bench.photographs import calibrated, photograph
from bench.stages import stages
from bench.straightforward import prepare
from model.backends.sam import Segmenter
from model.masks import rle
from model.weights.seeding import build
from tests.model.rows import SMALL

ROOT = Path(__file__).parents[2]


def masks(*boxes: tuple[int, int, int, int]) -> list[rle.RLE]:
    found = []
    for x0, y0, x1, y1 in boxes:
        mask = np.zeros((20, 30), dtype=np.bool_)
        mask[y0:y1, x0:x1] = True
        found.append(rle.encode(mask))
    return found


def test_agreement_matches_masks_wherever_they_stand() -> None:
    a, b, half_of_a = (0, 0, 10, 10), (12, 0, 20, 10), (0, 0, 10, 5)
    assert agreement(masks(a, b), masks(a, b)) == {
        "masks": [2, 2],
        "least IoU": 1.0,
        "mean IoU": 1.0,
        "most pixels apart": 0,
        "out of order": 0,
    }
    swapped = agreement(masks(b, a), masks(a, b))
    assert (swapped["least IoU"], swapped["out of order"]) == (1.0, 2)
    fewer = agreement(masks(half_of_a), masks(a, b))
    assert fewer["masks"] == [1, 2]
    assert (fewer["least IoU"], fewer["mean IoU"], fewer["most pixels apart"]) == (0.0, 0.25, 130)
    assert agreement([], masks(a))["least IoU"] == 0.0


def test_flop_counts_products_convolutions_and_attention() -> None:
    x, q = torch.ones(7, 5), torch.ones(1, 2, 11, 4)
    assert flop(lambda: x @ x.T)[0] == 2 * 7 * 5 * 7
    seen, _ = flop(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
    assert seen == 2 * (2 * 11 * 11 * (4 + 4))


def test_stages_add_up_what_is_measured_and_leave_the_owner_as_it_was() -> None:
    class Owner:
        def twice(self, value: int) -> int:
            return 2 * value

    owner = Owner()
    with by_stage({"doubling": (owner, "twice")}, lambda work: (1.5, work())) as spent:
        assert owner.twice(3) + owner.twice(4) == 14
    assert spent == {"doubling": 3.0}
    owner.twice(5)
    assert spent == {"doubling": 3.0}


def test_a_spent_budget_leaves_rows_out_and_says_so() -> None:
    rows = iter([{"row": 1}, {"row": 2}])
    assert list(before(math.inf, rows)) == [{"row": 1}, {"row": 2}]
    assert [list(row) for row in before(0.0, iter([{"row": 1}]))] == [["left out"]]


def check_stages(rows: list[dict[str, Any]]) -> None:
    """The rows of one precision."""
    *stages, whole = rows
    assert whole["stage"] == "whole" and whole["masks"] > 3
    assert sum(row["s"] for row in stages) == pytest.approx(whole["s"], rel=0.02, abs=0.001)
    assert all(row["s"] > 0 for row in stages if row["stage"] not in ("rest", "suppression"))
    products = ["encode", "decode to predicted IoU", "up-convolutions"]
    assert [row["stage"] for row in stages if "GFLOP" in row] == products


def test_every_part_runs_and_the_masks_agree(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    parts = "stages,rates,compare,steps"  # memory is a row a process, and transformers has no TinyViT
    command = [sys.executable, "-m", "bench.model", "--size", "tiny", "--points", "4", "--step-points", "4"]
    command += ["--megapixels", "0.1", "--batches", "2", "--threads", "1", "--clock", "cpu", "--bfloat16", "off"]
    command += ["--parts", parts, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, dict[str, Any]] = json.loads(out.read_text())
    assert list(report) == parts.split(",")
    assert all("left out" not in row for part in report.values() for row in part["rows"])
    check_stages(report["stages"]["rows"])
    for row in report["compare"]["rows"] + report["steps"]["rows"][1:]:
        assert row["masks"][0] == row["masks"][1] and row["out of order"] == 0, row
        assert row["most pixels apart"] <= 2, row
    assert {row["what"] for row in report["rates"]["rows"]} == {"automatic", "1 prompt", "20 prompts"}


@pytest.mark.parametrize(("bfloat16", "precisions"), [("on", ["exact", "fast"]), ("off", ["exact"])])
def test_fast_is_measured_where_it_differs(bfloat16: str, precisions: list[str]) -> None:
    given = argparse.Namespace(size="tiny", device="cpu", bfloat16=bfloat16, checkpoint=None, compile=False)
    assert Bench(given, Clock("cpu", "cpu")).precisions == precisions


def test_both_precisions_are_measured_apart() -> None:
    """A small network, because a processor without bfloat16 emulates it slowly."""
    image = photograph(0.02)
    weights = as_blobs(build(SMALL, seed=0), prepare(SMALL, image))
    twin = build(SMALL, seed=0)
    twin.load_state_dict(weights.state_dict())
    exact = Segmenter(weights, "blobs", "cpu", "exact", cache_bytes=0)
    fast = Segmenter(twin, "blobs", "cpu", "fast", cache_bytes=0, bfloat16=True)
    clock, (task, _) = Clock("cpu", "cpu"), calibrated(exact, image, 6)
    assert fast.sam.dtype == torch.bfloat16
    for s in (exact, fast):
        check_stages(list(stages(s, clock, image, task, 1e9)))
    for row in compare.compare({"exact": exact, "fast": fast}, clock, image, task):
        assert row["mean IoU"] > (0.999 if row["precision"] == "exact" else 0.5), row


def test_the_straightforward_order_and_ours_answer_as_transformers_pipeline_does() -> None:
    sam = build(SMALL, seed=0)
    image = photograph(0.02)
    s = Segmenter(as_blobs(sam, prepare(SMALL, image)), "blobs", "cpu", "exact", cache_bytes=0)
    task, _ = calibrated(s, image, 6)
    found = compare.pipelines(s, Clock("cpu", "wall"), image, task, 6)
    for pair in ("straightforward to transformers", "ours to transformers"):
        assert found[pair]["masks"][0] == found[pair]["masks"][1] > 3, found
        assert found[pair]["most pixels apart"] <= 2, found
    shown = compare.networks(s, Clock("cpu", "cpu"), image)
    assert [row["what"] for row in shown] == ["encode", "decode 64 points"]
    assert all(row[f"{name} s"] > 0 for row in shown for name in ("transformers", "straightforward", "ours"))
