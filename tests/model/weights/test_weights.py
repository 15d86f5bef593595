"""Checkpoints are found in order and verified, or refused with a reason. None of their code runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.errors import CheckpointError
from model.sizes import SIZES
from model.weights import files
from model.weights.checkpoint import fit, load, read
from model.weights.files import BUNDLED, find
from model.weights.seeding import build

TINY = SIZES["sam_tiny"]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build(TINY, seed=4).state_dict()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_load_gives_the_weights_and_the_files_digest(
    tmp_path: Path, state: dict[str, torch.Tensor], suffix: str
) -> None:
    path = tmp_path / f"mine.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    sam, revision = load(TINY, path)
    assert revision == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert all(torch.equal(tensor, state[name]) for name, tensor in sam.state_dict().items())
    assert not sam.training
    points, labels = torch.tensor([[[100.0, 80.0]]]), torch.tensor([[1]])
    with torch.inference_mode():
        logits, _ = sam.decode(
            sam.encode(torch.ones(1, 3, TINY.image_size, TINY.image_size)), torch.tensor([0]), points, labels
        )
    assert logits.isfinite().all()


def test_half_precision_files_load_as_float32(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    halves = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    save_file(halves, tmp_path / "half.safetensors")
    sam, _ = load(TINY, tmp_path / "half.safetensors")
    assert {t.dtype for t in sam.state_dict().values()} == {torch.float32, torch.int64}


def test_names_that_differ_are_listed(state: dict[str, torch.Tensor]) -> None:
    sam = build(TINY)
    short = {name: t for name, t in state.items() if name != "mask_decoder.iou_token.weight"}
    with pytest.raises(CheckpointError, match=r"1 missing: mask_decoder\.iou_token\.weight"):
        fit(sam, short, "short.pth")
    with pytest.raises(CheckpointError, match="1 unexpected: extra"):
        fit(sam, {**state, "extra": torch.zeros(1)}, "long.pth")
    with pytest.raises(CheckpointError, match="1 of another shape"):
        fit(sam, {**state, "mask_decoder.iou_token.weight": torch.zeros(1, 7)}, "odd.pth")


def test_mobile_sams_classifier_is_ignored(state: dict[str, torch.Tensor]) -> None:
    extra = {
        "image_encoder.norm_head.weight": torch.ones(320),
        "image_encoder.head.bias": torch.ones(1000),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.ones(64, 64),
        "pixel_mean": torch.ones(3),
    }
    fit(build(TINY), {**state, **extra}, "mobile_sam.pt")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0, 100, -1000])
def test_a_partial_file_is_a_clear_error(
    tmp_path: Path, state: dict[str, torch.Tensor], suffix: str, kept: int
) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    if suffix == "pth":
        torch.save(state, whole)
    else:
        save_file(state, whole)
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"cut\.\w+ cannot be read"):
        read(cut)


class Payload:
    """An object whose code a careless unpickler would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("payload-ran"),))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Payload()}, "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(Path("evil.pth"))
    assert not Path("payload-ran").exists()


def test_a_file_that_is_no_flat_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.ones(1)}}, tmp_path / "nested.pth")
    with pytest.raises(CheckpointError, match="no flat state dict"):
        read(tmp_path / "nested.pth")


def test_an_altered_published_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"not it")
    with pytest.raises(CheckpointError, match=r"not the published sam_vit_b_01ec64\.pth.*fetch sam_vit_b"):
        load(SIZES["sam_vit_b"], path)


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(TINY, filename="published.pth")
    cache, bundled = tmp_path / "cache", tmp_path / "bundled"
    cache.mkdir()
    bundled.mkdir()
    monkeypatch.setattr(files, "BUNDLED", bundled)
    with pytest.raises(CheckpointError, match=r"no weights for sam_tiny at .*published\.pth, .*safetensors"):
        find(row, cache=cache)
    (bundled / "sam_tiny.safetensors").touch()
    assert find(row, cache=cache) == bundled / "sam_tiny.safetensors"
    (cache / "published.pth").touch()
    assert find(row, cache=cache) == cache / "published.pth"
    with pytest.raises(CheckpointError, match=r"/nowhere\.pth"):
        find(row, tmp_path / "nowhere.pth", cache=cache)


def test_s3_uri_is_downloaded_by_the_callers_function(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    asked = []

    def download(uri: str, path: Path) -> None:
        asked.append(uri)
        save_file(state, path)

    uri = "s3://models/tiny.safetensors"
    path = find(TINY, uri, cache=tmp_path, download=download)
    assert asked == [uri]
    assert path.parent.parent == tmp_path and path.name == "tiny.safetensors"
    assert len(load(TINY, uri, cache=tmp_path, download=download)[1]) == 12
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(CheckpointError, match="needs a cache folder"):
        find(TINY, uri)


def _flipped(source: Path, target: Path) -> Path:
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    return target


def test_a_flipped_byte_in_the_bundled_weights_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _flipped(BUNDLED / "sam_tiny.safetensors", tmp_path / "sam_tiny.safetensors")
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    with pytest.raises(CheckpointError, match=r"is not the published sam_tiny\.safetensors.*partial or altered"):
        load(TINY)


def test_a_flipped_byte_is_noticed_behind_an_s3_uri_too(tmp_path: Path) -> None:
    def download(_: str, path: Path) -> None:
        _flipped(BUNDLED / "sam_tiny.safetensors", path)

    with pytest.raises(CheckpointError, match="partial or altered"):
        load(TINY, "s3://models/sam_tiny.safetensors", cache=tmp_path, download=download)


def test_weights_of_ones_own_are_checked_against_the_digest_that_is_given(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    save_file(state, tmp_path / "mine.safetensors")
    digest = hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    assert load(TINY, f"{tmp_path}/mine.safetensors#{digest}")[1] == digest[:12]
    _flipped(tmp_path / "mine.safetensors", tmp_path / "mine.safetensors")
    with pytest.raises(CheckpointError, match=f"not {digest} as was asked for"):
        load(TINY, f"{tmp_path}/mine.safetensors#{digest}")


def test_every_model_that_can_be_had_has_a_digest() -> None:
    assert all(row.sha256 and row.filename for row in SIZES.values())
