"""The record of a run: `log.jsonl`, `overlays/*.png` and `best.safetensors` in its folder.

The log has losses and held-out figures, one object a line. The best export is the average with the best figures.
"""

import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.networks.sam import Sam
from model.sizes import Size
from training.average import Average
from training.export import export
from training.held_out import Figures, Question, ask, figures, question
from training.resolution import set_side
from training.store import Store

SCENES = 60
LINES_EVERY = 50  # steps
PAINTED = 12  # scenes in an overlay


class Progress:
    def __init__(self, folder: Path, row: Size) -> None:
        self.folder, self.row = folder, row
        self.log = folder / "log.jsonl"
        (folder / "overlays").mkdir(parents=True, exist_ok=True)
        self.store = Store(folder / "held-out")
        self.sums: dict[str, float] = defaultdict(float)
        self.summed = 0
        self.best = self._best_so_far()

    def _best_so_far(self) -> float:
        if not self.log.exists():
            return 0.0
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        full = [line for line in lines if line.get("side") == self.row.image_size]
        return max((line["top"] + line["oracle"] + line["box"] for line in full), default=0.0)

    def _questions(self, side: int) -> list[Question]:
        asked = [question(self.store[k], side, k) for k in range(min(SCENES, len(self.store)))]
        return [q for q in asked if q is not None]

    def _write(self, line: dict[str, float]) -> None:
        rounded = {k: round(v, 6) for k, v in line.items()}
        with self.log.open("a") as file:
            file.write(json.dumps(rounded | {"at": time.strftime("%H:%M:%S")}) + "\n")

    def step(self, step: int, seconds: float, parts: dict[str, float]) -> None:
        for name, value in parts.items():
            self.sums[name] += value
        self.summed += 1
        if step % LINES_EVERY == 0:
            means = {name: total / self.summed for name, total in self.sums.items()}
            self._write({"step": step, "minutes": seconds / 60, **means})
            self.sums.clear()
            self.summed = 0

    def measure(self, step: int, seconds: float, average: Average, side: int) -> Figures:
        """Measure the average on held-out scenes, paint an overlay, and export the average if it is the best so far."""
        sam = Sam(self.row)
        sam.load_state_dict(average.state)
        sam.eval()
        set_side(sam, side)
        questions = self._questions(side)
        found = figures(sam, questions)
        self._write({"step": step, "minutes": seconds / 60, "side": side, **found.row()})
        cv2.imwrite(str(self.folder / "overlays" / f"{step:06d}.png"), overlay(sam, questions[:PAINTED]))
        total = found.top + found.oracle + found.box
        if side == self.row.image_size and total >= self.best:
            self.best = total
            export(average.state, self.folder / "best.safetensors")
        return found


def _outlined(image: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(image, contours, -1, colour, 1), np.uint8)


def overlay(sam: Sam, questions: list[Question]) -> NDArray[np.uint8]:
    """A BGR sheet. For each scene: the image, a click with its three masks, and a box with its mask.

    The right outline is white. The three masks are red, green and blue, by predicted IoU.
    """
    cells = []
    for asked in questions:
        clicks, predicted, boxed = (t.numpy() for t in ask(sam, asked))
        bgr = np.ascontiguousarray(asked.image[..., ::-1])
        click, box = bgr.copy(), bgr.copy()
        _outlined(click, asked.masks[0], (255, 255, 255))
        for colour, k in zip([(0, 0, 255), (0, 255, 0), (255, 0, 0)], np.argsort(-predicted[0]), strict=True):
            _outlined(click, clicks[0, k], colour)
        x, y = asked.clicks[0].astype(int)
        cv2.drawMarker(click, (int(x), int(y)), (0, 255, 255), cv2.MARKER_CROSS, 9, 2)
        _outlined(box, asked.masks[0], (255, 255, 255))
        _outlined(box, boxed[0], (0, 0, 255))
        cells.append(np.concatenate([bgr, click, box], 1))
    rows = [np.concatenate(cells[k : k + 2], 1) for k in range(0, len(cells) - 1, 2)]
    return np.asarray(np.concatenate(rows, 0), np.uint8)
