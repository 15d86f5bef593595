"""Between two rounds: `python -m training` goes on from the weights before, with all masks accepted so far."""

import shutil
import subprocess
import sys
from pathlib import Path

import torch

from engine.examples import add_examples
from engine.rounds.plan import Folder, Plan
from evaluation.data.coco import coco
from training.export import export

SCENES = 60
"""Drawn scenes for the other half of the steps, so that what the weights know is not forgotten at once."""


class TrainingError(Exception):
    """A training run ended before its last step."""


def train(folder: Folder, plan: Plan, number: int, masks: Path) -> None:
    """Make the weights of this round. `masks`: an export of annotations as COCO. Stopped training goes on."""
    run, state = folder.training(number), folder.training(number) / "state.pt"
    if not state.exists():
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        _share(folder, run)
        add_examples(run, coco(folder.path, masks, 0.0))
    start = str(folder.weights(number - 1)) if number > 1 else "bundled"
    words = ["--folder", run, "--start", start, "--steps", plan.steps, "--peak", plan.peak, "--warm-up", plan.warm_up]
    words += ["--scenes", SCENES, "--processes", 1, "--images", 4, "--measure-every", 1e9, "--seed", number]
    if _steps(state) < plan.steps:
        _python(*words, *(["--resume"] if state.exists() else []))
    made = torch.load(state, weights_only=True)
    if made["step"] < plan.steps:
        raise TrainingError(f"training ended after {made['step']} of {plan.steps} steps; run the command again")
    export(made["average"], folder.weights(number))


def _steps(state: Path) -> int:
    """How many are done."""
    return int(torch.load(state, weights_only=True)["step"]) if state.exists() else 0


def _share(folder: Folder, run: Path) -> None:
    """All rounds use the same drawn scenes."""
    drawn = folder.path / "scenes"
    _python("render", "--folder", drawn, "--scenes", SCENES)
    for name in ("scenes", "held-out"):
        (run / name).symlink_to((drawn / name).resolve())


def _python(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "training", *map(str, words)], check=True)
