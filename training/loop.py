"""The training loop of one process.

It stops and resumes at any step: `state.pt` holds weights, average, optimiser and clock. `constant.pt` is the state
before the learning rate falls; a later run with more minutes goes on from there.
"""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import torch
from torch import nn

from model.memory import keep_freed_memory
from model.networks.lite_encoder import LiteEncoder
from model.networks.sam import Sam
from model.sizes import Size, size
from model.weights.checkpoint import load
from training.average import Average
from training.initialise import fresh
from training.objective import AffinityHead, Weights, step_loss
from training.progress import Progress
from training.prompts import make_batch
from training.replicas import Gradients, broadcast, join, leave
from training.resolution import set_side
from training.schedule import CORRECT_FROM, DECAY_FROM, WARM_UP_STEPS, ActiveClock, learning_rate, side_at
from training.store import Store

SAVE_EVERY = 180.0  # active seconds
CORRECTION_SHARE = 0.3
ANNOTATED_SHARE = 0.5  # of steps, where the run's folder has annotated pictures


@dataclass(frozen=True)
class Plan:
    """One run, as asked for on the command line."""

    model: str
    folder: Path
    minutes: float
    images: int = 6  # a process and step
    prompts: int = 16
    peak: float = 1.2e-3
    clip: float = 1.0
    seed: int = 0
    resume: bool = False
    measure_every: float = 300.0  # active seconds
    scenes: int | None = None  # use only the first so many (smoke tests)
    threads: int = 1
    start: str | None = None
    """A checkpoint to go on from, or `bundled`. Then every step has the full resolution."""
    least_side: int | None = None
    """Model pixels a side at the beginning; by default the full side with `start`."""
    warm_up: int = WARM_UP_STEPS
    steps: int | None = None
    """End after so many steps, whatever the minutes. The schedule then goes by steps."""

    @property
    def row(self) -> Size:
        return size(self.model)


class Loop:
    """Everything that changes while training."""

    def __init__(self, plan: Plan, rank: int, world: int) -> None:
        torch.set_num_threads(plan.threads)
        self.plan, self.rank, self.world = plan, rank, world
        self.sam = _started(plan).train()
        freeze(self.sam)
        self.head = AffinityHead(plan.row.out_chans)
        self.model = nn.ModuleDict({"sam": self.sam, "head": self.head})
        self.average = Average(self.sam)
        self.optimiser = self._optimiser()
        self.clock, self.step, self.progress = ActiveClock(), 0, 0.0
        self.side, self.least_side = plan.row.image_size, self._least_side()
        self.saved_at, self.kept_constant, self.stop = 0.0, False, False
        if plan.resume:
            self._load()
        self.saved_at = self.clock.seconds
        broadcast(self.model, world)
        self.gradients = Gradients([p for p in self.model.parameters() if p.requires_grad], rank, world)
        self.store = Store(plan.folder / "scenes")
        self.annotated = Store(plan.folder / "annotated")

    def _least_side(self) -> int:
        if self.plan.least_side is not None:
            return self.plan.least_side
        return 0 if self.plan.start is None else self.plan.row.image_size

    def _optimiser(self) -> torch.optim.AdamW:
        """AdamW without weight decay on embeddings, norms and biases."""
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, p in self.model.named_parameters():
            if not p.requires_grad:
                continue
            plain = p.ndim < 2 or "embed" in name.split(".")[-2] or "token.weight" in name or "mask_tokens" in name
            (free if plain or "attention_biases" in name or "point_embeddings" in name else decayed).append(p)
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.plan.peak, betas=(0.9, 0.98), foreach=True)

    def run(self) -> None:
        """Train until the minutes are over or a signal asks to stop. The first process saves and reports."""
        self._listen()
        report = Progress(self.plan.folder, self.plan.row) if self.rank == 0 else None
        measured = self.clock.seconds
        while True:
            began = time.monotonic()
            parts, stop = self.advance()
            self.clock.add(time.monotonic() - began)
            if report is not None:
                report.step(self.step, self.clock.seconds, parts)
                if not self.kept_constant and self.progress >= DECAY_FROM:
                    self.save("constant.pt")
                    self.kept_constant = True
                if self.clock.seconds - self.saved_at > SAVE_EVERY:
                    self.saved_at = self.clock.seconds
                    self.save("state.pt")
                if self.clock.seconds - measured > self.plan.measure_every:
                    measured = self.clock.seconds
                    report.measure(self.step, self.clock.seconds, self.average, self.side)
            if stop:
                break
        if report is not None:
            self.save("state.pt")
            report.measure(self.step, self.clock.seconds, self.average, self.side)

    def advance(self) -> tuple[dict[str, float], bool]:
        """Take one step. Returns the parts of its loss, and whether to stop."""
        plan, row = self.plan, self.plan.row
        rng = np.random.default_rng([plan.seed, self.step, self.rank])
        together = np.random.default_rng([plan.seed, self.step])  # for decisions that all processes share
        if self.step % 50 == 0:
            self.store.refresh()
            self.annotated.refresh()
        wanted = max(side_at(row.image_size, self.progress), self.least_side)
        if wanted != self.side:
            self.side = wanted
            set_side(self.sam, wanted)
        store = self.annotated if len(self.annotated) and rng.random() < ANNOTATED_SHARE else self.store
        batch = make_batch(rng, store, plan.images, plan.prompts, self.side, row.pixel_mean, row.pixel_std, plan.scenes)
        corrections = self.progress >= CORRECT_FROM and together.random() < CORRECTION_SHARE
        self.gradients.clear()
        loss, parts = step_loss(self.sam, self.head, batch, rng, Weights(iou=2.0, corrections=corrections))
        torch.autograd.backward(loss)
        elapsed = self._elapsed(self.step + 1, self.clock.seconds)
        self.progress, stop = self.gradients.share(elapsed, self.stop or elapsed >= 1)
        norm = self.gradients.clip(plan.clip)
        rate = learning_rate(plan.peak, self.step, self.progress, plan.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if np.isfinite(norm):
            self.optimiser.step()
        if self.rank == 0:
            self.average.update(self.sam)
        self.step += 1
        return {name: float(value) for name, value in parts.items()} | {"norm": norm, "lr": rate}, stop

    def _elapsed(self, steps: int, seconds: float) -> float:
        """The share of the run that is over, by steps if the plan has a number of them, else by the clock."""
        if self.plan.steps is not None:
            return steps / self.plan.steps
        return seconds / (60 * self.plan.minutes)

    def _listen(self) -> None:
        """On SIGTERM and SIGINT finish the step, save and stop. The first process decides for all."""

        def ask(_signal: int, _frame: FrameType | None) -> None:
            self.stop = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask if self.rank == 0 else signal.SIG_IGN)

    def save(self, name: str) -> None:
        """Write the state under this name in the run's folder."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.clock.seconds,
            "side": self.side,
            "falling": self.progress > DECAY_FROM,
        }
        part = self.plan.folder / f".{name}.part"
        torch.save(state, part)
        part.rename(self.plan.folder / name)

    def _load(self) -> None:
        """Load the last state, or the one before the decay if this run is so long that its decay is ahead."""
        state = torch.load(self.plan.folder / "state.pt", weights_only=True)
        constant = self.plan.folder / "constant.pt"
        ahead = self._elapsed(state["step"], state["seconds"]) < DECAY_FROM
        if ahead and state["falling"] and constant.exists():
            state = torch.load(constant, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.state, self.average.updates = state["average"], state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.clock.seconds = state["step"], state["seconds"]
        self.progress = self._elapsed(self.step, self.clock.seconds)
        self.least_side = state["side"]  # a run never returns to a lower resolution
        self.kept_constant = self.progress >= DECAY_FROM


def _started(plan: Plan) -> Sam:
    if plan.start is None:
        return fresh(plan.row, plan.seed)
    torch.manual_seed(plan.seed)
    return load(plan.row, None if plan.start == "bundled" else plan.start)[0]


def freeze(sam: Sam) -> None:
    """Keep the features of ImageNet, which drawn scenes would spoil."""
    if isinstance(sam.image_encoder, LiteEncoder):
        sam.image_encoder.backbone.requires_grad_(False)


def train(plan: Plan, rank: int, world: int, port: int) -> None:
    """The whole run of one process. A spawned process starts here."""
    cv2.setNumThreads(1)
    keep_freed_memory()
    join(rank, world, port)
    Loop(plan, rank, world).run()
    leave(world)
