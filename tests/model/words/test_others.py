"""OWLv2, CLIP and SAM 3 behind the same interfaces, with random weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from model.masks.rle import encode
from model.spec import Exemplar
from model.words.clip import ANYTHING, Clip
from model.words.crops import crop
from model.words.load import load
from model.words.owlv2 import Owlv2
from model.words.sam3 import Sam3
from tests.model.words import networks

IMAGE = np.random.default_rng(0).integers(100, 255, (50, 70, 3), dtype=np.uint8)
PHRASES = ["a cat", "red car"]


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def test_owlv2_gives_boxes_in_pixels_and_a_score_for_each_phrase(tmp_path: Path) -> None:
    detector = load(str(networks.owlv2(tmp_path)), "cpu")
    assert isinstance(detector, Owlv2) and not detector.takes_exemplars
    seen = detector.look(IMAGE, PHRASES)
    (found,) = detector.detect([seen])
    answer = detector.model.network(pixel_values=seen.pixels[None], input_ids=seen.ids, attention_mask=seen.mask)
    sizes = torch.tensor([[50, 70]])
    (theirs,) = Owlv2ImageProcessorPil().post_process_object_detection(answer, threshold=0, target_sizes=sizes)
    np.testing.assert_allclose(found.boxes, theirs["boxes"].numpy(), atol=1e-3)
    np.testing.assert_allclose(found.scores.max(1), theirs["scores"].numpy(), atol=1e-6)
    (alone,) = detector.detect([detector.look(IMAGE, PHRASES[1:])])
    np.testing.assert_allclose(alone.scores[:, 0], found.scores[:, 1], atol=1e-6)


def test_a_crop_is_a_square_with_the_background_dimmed() -> None:
    mask = np.zeros((50, 70), np.bool_)
    mask[0:10, 60:70] = True
    mask[0:5, 60:65] = False
    seen = crop(IMAGE, encode(mask), 12)  # ten pixels and a fifth more: nothing is resized
    assert (seen[0] == 0).all() and (seen[:, -1] == 0).all()  # outside the image
    np.testing.assert_array_equal(seen[6:11, 1:11], IMAGE[5:10, 60:70])
    np.testing.assert_array_equal(seen[1:6, 1:6], (IMAGE[0:5, 60:65] * 0.3).astype(np.uint8))


def test_clip_scores_a_mask_against_words_that_fit_everything(tmp_path: Path) -> None:
    ranker = load(str(networks.clip(tmp_path)), "cpu")
    assert isinstance(ranker, Clip)
    masks = [np.arange(3500).reshape(50, 70) % n == 0 for n in (2, 3, 5)]
    scores = ranker.rank(IMAGE, [encode(mask) for mask in masks], PHRASES)
    network, tokenizer = CLIPModel.from_pretrained(tmp_path).eval(), CLIPTokenizer.from_pretrained(tmp_path)
    words = tokenizer([f"a photo of {p}" for p in (*PHRASES, *ANYTHING)], padding=True, return_tensors="pt")
    pixels = torch.stack([ranker.model.normal.tensor(crop(IMAGE, encode(mask), 32)) for mask in masks])
    logits: Any = network(pixel_values=pixels, **words).logits_per_image
    expected = [[1 / (1 + np.exp(row[2:].max() - row[p])) for p in (0, 1)] for row in logits.numpy()]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert ranker.rank(IMAGE, [], PHRASES).shape == (0, 2)


def test_sam3_gives_boxes_and_masks_phrase_by_phrase(tmp_path: Path) -> None:
    native = load(str(networks.sam3(tmp_path)), "cpu")
    assert isinstance(native, Sam3)
    (both,) = native.segment([native.look(IMAGE, PHRASES, [])])
    (alone,) = native.segment([native.look(IMAGE, PHRASES[1:], [])])
    assert both.logits.shape == (12, 16, 16) and both.found.boxes.shape == (12, 4)
    assert not both.found.scores[:6, 1].any() and not both.found.scores[6:, 0].any()
    np.testing.assert_allclose(both.found.boxes[6:], alone.found.boxes, atol=1e-3)
    np.testing.assert_allclose(both.found.scores[6:, 1], alone.found.scores[:, 0], atol=1e-6)
    exemplars = [Exemplar("red car", (7, 10, 21, 30)), Exemplar("red car", (0, 0, 70, 50), 0)]
    first, second = native.look(IMAGE, PHRASES, exemplars).questions
    assert first.boxes is None and second.boxes is not None and second.labels is not None
    np.testing.assert_allclose(second.boxes[0], [[0.2, 0.4, 0.2, 0.4], [0.5, 0.5, 1, 1]], atol=1e-6)
    assert second.labels.tolist() == [[1, 0]]
