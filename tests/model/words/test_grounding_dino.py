"""Grounding DINO: its inputs are those of transformers' own processor, and phrases keep their own scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizer, GroundingDinoForObjectDetection
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

from model.errors import CheckpointError
from model.words.grounding_dino import GroundingDino
from model.words.load import load
from tests.model.words.networks import grounding_dino

IMAGE = np.random.default_rng(0).integers(0, 255, (50, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grounding_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def detector(folder: Path) -> Iterator[GroundingDino]:
    with torch.inference_mode():
        found = load(str(folder), "cpu")
        assert isinstance(found, GroundingDino)
        yield found


def test_scores_and_boxes_are_those_of_the_network(folder: Path, detector: GroundingDino) -> None:
    (found,) = detector.detect([detector.look(IMAGE, ["A cat", "red car"])])
    seen = GroundingDinoImageProcessorPil.from_pretrained(folder)(IMAGE, return_tensors="pt")
    words = BertTokenizer.from_pretrained(folder)("a cat. red car.", return_tensors="pt")
    with torch.inference_mode():
        answer = GroundingDinoForObjectDetection.from_pretrained(folder).eval()(**seen, **words)
    matches = answer.logits[0].sigmoid().numpy()
    np.testing.assert_allclose(found.scores, np.stack([matches[:, 1:3].max(1), matches[:, 4:6].max(1)], 1), atol=1e-5)
    x, y, w, h = answer.pred_boxes[0].double().numpy().T
    corners = np.stack([(x - w / 2) * 90, (y - h / 2) * 50, (x + w / 2) * 90, (y + h / 2) * 50], 1)
    np.testing.assert_allclose(found.boxes, corners, atol=1e-3)


def test_phrases_that_do_not_fit_go_into_another_text(detector: GroundingDino) -> None:
    """Of 24 tokens. What would end a phrase is no part of one."""
    phrases = ["a cat?", "...", "zebra " * 9, "red. car"]
    seen = detector.look(IMAGE, phrases)
    assert [text.at for text in seen.texts] == [(0, 1), (2,), (3,)]
    assert all(len(text.ids) <= 24 and text.ids[0] == 101 and text.ids[-2:] == (1012, 102) for text in seen.texts)
    (found,) = detector.detect([seen])
    n = len(found.boxes) // 3
    assert [[bool(block.any()) for block in found.scores[i * n : i * n + n].T] for i in range(3)] == [
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 2)])
def test_images_of_odd_shapes(detector: GroundingDino, size: tuple[int, int]) -> None:
    (found,) = detector.detect([detector.look(np.zeros((*size, 3), np.uint8), ["a cat"])])
    assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        load(str(tmp_path / "nothing"), "cpu")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="is a bert"):
        load(str(tmp_path), "cpu")
