"""Label maps: any kind of file, layers, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.io import savemat

from evaluation.data.label_maps import pictures, read_maps
from evaluation.data.picture import GroundTruthError


def test_label_maps_of_every_kind(tmp_path: Path) -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[2:5, 2:5], labels[6:, 6:] = 1, 7
    Pillow.fromarray(labels).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", labels.astype(np.int64))
    inner = np.empty((1, 2), object)
    for k in range(2):
        inner[0, k] = {"Segmentation": labels.astype(np.uint16), "Boundaries": labels}
    savemat(tmp_path / "a.mat", {"groundTruth": inner})
    assert np.array_equal(read_maps(tmp_path / "a.png")[0], labels)
    assert np.array_equal(read_maps(tmp_path / "a.npy")[0], labels)
    found = read_maps(tmp_path / "a.mat")
    assert len(found) == 2
    assert all(np.array_equal(m, labels) for m in found)


def test_layers_belong_to_their_picture(tmp_path: Path) -> None:
    images, truth = tmp_path / "images", tmp_path / "truth"
    images.mkdir()
    truth.mkdir()
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(images / "b.jpg")
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(images / "bb.png")
    whole, speck = np.ones((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    speck[0, 0] = 3
    Pillow.fromarray(whole).save(truth / "b.1.png")
    Pillow.fromarray(speck).save(truth / "b.2.png")
    (truth / "names.json").write_text('{"b.1.png": {"1": "a wall"}, "b.2.png": {"*": "a speck"}}')
    named = next(pictures(images, truth, 0.0)).labels
    assert [(label.name, label.category) for label in named] == [("a wall", 2), ("a speck", 1)]
    found = list(pictures(images, truth, 0.02))
    assert [p.name for p in found] == ["b"]
    assert found[0].regions.shape == (1, 10, 10)
    assert len(next(pictures(images, truth, 0.0)).regions) == 2


def test_a_map_of_another_size_is_an_error(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / "c.jpg")
    Pillow.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(GroundTruthError, match="another size"):
        list(pictures(tmp_path, tmp_path, 0))


def test_a_colour_picture_is_no_label_map(tmp_path: Path) -> None:
    Pillow.fromarray(np.ones((5, 5, 3), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(GroundTruthError, match="one channel"):
        read_maps(tmp_path / "d.png")
