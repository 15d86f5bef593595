"""Clicks: the number of clicks equals RITM's protocol, stated again slowly, click for click."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.data.picture import Label, Picture
from evaluation.predictor import Answer, Predictor
from evaluation.task import Subject
from evaluation.tasks.clicks import Clicks, trace
from model.backends.sam import Segmenter
from tests.evaluation.drawn import disc, scene
from training.clicks import Click

Spot = tuple[int, int, bool]


@dataclass
class Revealed:
    """Answers with the logits of the round before, and around the last click with what is right there."""

    right: np.ndarray
    radius: float
    asked: int = 0

    def ask(self, clicks: list[Click], *, previous: Tensor | None = None, multimask: bool = True) -> Answer:
        self.asked += 1
        low, scores = self.answer([(c.x, c.y, c.foreground) for c in clicks], previous, multimask)
        return Answer((low > 0).numpy(), scores, low)

    def answer(self, clicks: list[Spot], previous: Tensor | None, three: bool) -> tuple[Tensor, np.ndarray]:
        x, y, foreground = clicks[-1]
        size = len(self.right)
        before = np.full((size, size), -0.5) if previous is None else previous.numpy()
        known = np.where(self.right == foreground, 1.0, -1.0) * (1 if foreground else -1)
        radii = [self.radius * k for k in (0.4, 1.0, 2.5)] if three else [self.radius]
        low = np.stack([np.where(disc(size, x, y, radius), known, before) for radius in radii])
        return torch.from_numpy(low), np.array([0.2, 0.9, 0.4] if three else [0.5])


def slow_distance(error: np.ndarray) -> np.ndarray:
    """Squared distance of each error pixel to the nearest that is none, one by one. Beyond the edge nothing is one."""
    padded = np.pad(error, 1)
    others = np.argwhere(~padded)
    found = np.zeros(padded.shape, np.int64)
    for y, x in np.argwhere(padded):
        found[y, x] = ((others - (y, x)) ** 2).sum(1).min()
    return found[1:-1, 1:-1]


def slow_clicks(model: Revealed, right: np.ndarray, ignored: np.ndarray, most: int) -> tuple[list[Spot], list[float]]:
    """RITM's protocol as its paper and code describe it. Nothing of ours but the model that answers."""
    spots: list[Spot] = []
    scores: list[float] = []
    found, previous = np.zeros_like(right), None
    for k in range(most):
        missed, extra = (slow_distance(e & ~ignored) for e in (right & ~found, ~right & found))
        for x, y, _ in spots:
            missed[y, x] = extra[y, x] = 0
        foreground = missed.max() > extra.max()
        chosen = missed if foreground else extra
        y, x = next(
            (y, x) for y in range(right.shape[0]) for x in range(right.shape[1]) if chosen[y, x] == chosen.max()
        )
        spots.append((x, y, bool(foreground)))
        low, predicted = model.answer(spots, previous, k == 0)
        best = list(predicted).index(max(predicted))
        found, previous = low[best].numpy() > 0, low[best]
        both = (found & right & ~ignored).sum()
        either = ((found | right) & ~ignored).sum()
        scores.append(both / either)
        if scores[-1] >= 0.95:
            break
    return spots, scores


def cases() -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """50 regions of two to four discs with holes and bands that are not counted, and radii of the model."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        right = np.zeros((26, 26), np.bool_)
        for _ in range(rng.integers(2, 5)):
            right |= disc(26, rng.uniform(3, 23), rng.uniform(3, 23), rng.uniform(2, 7))
        right &= ~disc(26, rng.uniform(3, 23), rng.uniform(3, 23), rng.uniform(0, 3))
        band = disc(26, rng.uniform(0, 26), rng.uniform(0, 26), rng.uniform(0, 5))
        yield right & ~band, band & (rng.random() < 0.5), float(rng.uniform(1.5, 8))


def test_it_is_ritms_protocol_click_for_click() -> None:
    numbers = []
    for right, ignored, radius in cases():
        ours = trace(Revealed(right | ignored, radius), right, ignored, 20, 0)
        spots, scores = slow_clicks(Revealed(right | ignored, radius), right, ignored, 20)
        assert [(c.x, c.y, c.foreground) for c in ours.clicks] == spots
        assert ours.top == pytest.approx(scores, abs=1e-12)
        for target in (0.85, 0.9, 0.95):
            reached = [k + 1 for k, value in enumerate(scores) if value >= target]
            numbers.append(min(reached, default=20))
            assert ours.number(target, 20) == numbers[-1]
    assert len(numbers) == 150 and min(numbers) == 1 and numbers.count(20) < 75 < 150 - numbers.count(1)


def test_it_goes_on_for_the_oracle_and_stops_at_the_last_target() -> None:
    right = disc(26, 13, 13, 5)
    easy = Revealed(right, 6)
    found = trace(easy, right, None, 20, 9)
    assert found.top[0] > 0.95
    assert len(found.top) == len(found.oracle) == 9
    assert easy.asked == 9 + 8  # three masks beside each answer after the first
    assert found.oracle[0] == max(found.oracle[0], found.top[0])


def test_the_previous_logits_are_a_prompt(segmenter: Segmenter) -> None:
    image, mask = scene()
    seen: list[tuple[int, bool, bool]] = []

    predictor = Predictor(segmenter, image)

    class Watched:
        def ask(self, clicks: list[Click], *, previous: Tensor | None = None, multimask: bool = True) -> Answer:
            seen.append((len(clicks), previous is None, multimask))
            return predictor.ask(clicks, previous=previous, multimask=multimask)

    trace(Watched(), mask & (np.arange(60) % 2 == 0), None, 3, 0)
    assert seen == [(1, True, True), (2, False, False), (3, False, False)]


def test_figures_are_means_over_regions(segmenter: Segmenter) -> None:
    image, mask = scene()
    regions = np.stack([mask, disc(radius=6), ~mask])
    picture = Picture("disc", image, regions, labels=(Label(), Label(), Label(crowd=True)))
    task = Clicks(most=3)
    record = task.measure(Subject(segmenter), picture)
    rows = record["regions"]
    assert [row["region"] for row in rows] == [0, 1]  # no clicks for a crowd
    figures = task.tally([record, {"regions": []}])(np.array([0, 1, 0]))
    assert figures["regions"] == 4
    assert figures["top@1"] == pytest.approx(np.mean([row["top"][0] for row in rows]))
    assert figures["noc@90"] == pytest.approx(np.mean([row["number"][1] for row in rows]))
    assert figures["oracle@1"] >= figures["top@1"]
    assert [case.value for case in task.cases(picture, record)] == task.worth(record) == [row["top"][0] for row in rows]
