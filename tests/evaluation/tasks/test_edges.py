"""Edges: thin, where masks end, and nowhere else."""

import numpy as np

from evaluation.data.picture import Picture
from evaluation.predictor import Predictor
from evaluation.task import Subject
from evaluation.tasks.edges import EdgeDetection, edges_of, thinned
from model.backends.sam import Segmenter
from tests.evaluation.drawn import disc, scene


def test_a_ridge_becomes_its_crest() -> None:
    y, x = np.mgrid[0:60, 0:60]
    ridge = np.exp(-(((x - y) / 3.0) ** 2)).astype(np.float32)
    found = thinned(ridge) > 0.3
    inner = found[8:-8, 8:-8]
    assert inner.diagonal().all()
    assert inner.sum() <= 3 * len(inner)
    assert not found[np.abs(x - y) > 2].any()


def test_edges_of_a_disc_are_its_border(segmenter: Segmenter) -> None:
    image, mask = scene()
    edges = edges_of(Predictor(segmenter, image), 8, 0.7)
    assert edges.shape == (60, 60) and 0 < edges.max() <= 1
    border = disc(radius=18) & ~disc(radius=12)
    assert edges[border].max() > 2 * edges[disc(radius=9)].max()
    record = EdgeDetection(points=8, thresholds=9).measure(Subject(segmenter), Picture("disc", image, mask[None]))
    figures = EdgeDetection(thresholds=9).tally([record])(np.zeros(2, np.int64))
    assert set(figures) == {"ODS", "OIS", "AP", "R50"} and figures["ODS"] >= figures["AP"] * 0.5
