"""The exported decoder gives PyTorch's logits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.export.__main__ import main
from model.export.onnx_file import export, file_name
from model.networks.sam import Sam
from model.sizes import SIZES
from model.weights import checkpoint
from model.weights.files import BUNDLED
from model.weights.seeding import build

onnxruntime = pytest.importorskip("onnxruntime")
SHIPPED = Path(__file__).parents[3] / "api/decoders/bundled"
REVISION = hashlib.sha256((BUNDLED / "sam_tiny.safetensors").read_bytes()).hexdigest()[: checkpoint.REVISION_DIGITS]
CLICK, BOX_CORNERS, PADDING = [[0.3, 0.4]], [2, 3], -1
CASES: dict[str, tuple[list[list[float]], list[int], list[float] | None, bool]] = {
    "a click": (CLICK, [1], None, False),
    "clicks": ([*CLICK, [0.9, 0.1], [0.35, 0.5]], [1, 0, 1], None, False),
    "more tokens than attention is wide": ([[i / 40, i / 30] for i in range(20)], [1] * 20, None, False),
    "a box": ([], [], [0.1, 0.2, 0.5, 0.9], False),
    "a click in a box": (CLICK, [0], [0.1, 0.2, 0.5, 0.9], False),
    "a click and a mask": (CLICK, [1], None, True),
    "a box and a mask": ([], [], [0.1, 0.2, 0.5, 0.9], True),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sam]:
    """A decoder of the published size, seeded, as a file."""
    sam, path = build("mobile_sam", seed=3), tmp_path_factory.mktemp("export") / file_name("mobile_sam", "seed-3")
    export(sam, "seed-3", path)
    return path, sam


def agrees(path: Path, sam: Sam) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    row, generator = sam.row, torch.Generator().manual_seed(5)
    embedding = torch.randn(1, row.out_chans, row.grid, row.grid, generator=generator).half()
    earlier = torch.randn(1, 1, row.mask_size, row.mask_size, generator=generator) * 5
    for name, (points, labels, box, has_mask) in CASES.items():
        xy = torch.tensor(points).view(1, -1, 2) * row.image_size
        corners = None if box is None else torch.tensor([box]) * row.image_size
        own = [torch.zeros(1, 1, 2)] if corners is None else [corners.view(1, 2, 2)]
        marks = [PADDING] if corners is None else BOX_CORNERS
        given = {
            "image_embeddings": embedding,
            "point_coords": torch.cat([xy, *own], 1),
            "point_labels": torch.tensor([[*labels, *marks]], dtype=torch.float32),
            "mask_input": earlier,
            "has_mask_input": torch.tensor([float(has_mask)]),
        }
        logits, iou = session.run(None, {key: value.numpy() for key, value in given.items()})
        for multimask, chosen in ((False, slice(0, 1)), (True, slice(1, 4))):
            with torch.inference_mode():
                expected: tuple[Tensor, Tensor] = sam.decode(
                    embedding.float(), torch.tensor([0]), xy, torch.tensor([labels], dtype=torch.long), corners,
                    earlier if has_mask else None, multimask,
                )  # fmt: skip
            assert np.abs(logits[:, chosen] - expected[0].numpy()).max() < 1e-3, name
            assert np.abs(iou[:, chosen] - expected[1].numpy()).max() < 1e-3, name


def test_the_shipped_decoder_belongs_to_the_bundled_weights() -> None:
    """`python -m model.export sam_tiny --output api/decoders/bundled` writes it."""
    assert [path.name for path in SHIPPED.iterdir()] == [file_name("sam_tiny", REVISION)]
    agrees(SHIPPED / file_name("sam_tiny", REVISION), checkpoint.load(SIZES["sam_tiny"])[0])


def test_a_decoder_of_the_published_size(published: tuple[Path, Sam]) -> None:
    agrees(*published)


def test_weights_that_are_no_float16_stay_exact(published: tuple[Path, Sam]) -> None:
    """Half of the size only where nothing is lost: seeded weights have all bits of float32."""
    path, sam = published
    parts = (sam.mask_decoder, sam.prompt_encoder)
    assert path.stat().st_size > 4 * sum(weight.numel() for part in parts for weight in part.parameters())
    assert (SHIPPED / file_name("sam_tiny", REVISION)).stat().st_size < 2_000_000


def test_a_file_tells_nothing_of_the_machine_that_wrote_it(published: tuple[Path, Sam]) -> None:
    for path in (published[0], SHIPPED / file_name("sam_tiny", REVISION)):
        assert b".py" not in path.read_bytes()


def test_without_weights_it_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"python -m model\.weights fetch sam_vit_b"):
        main(["sam_vit_b", "--cache", str(tmp_path), "--output", str(tmp_path)])
