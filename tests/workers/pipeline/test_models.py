"""A worker's models: where their weights come from, and what a wrong place says."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import model
from model.errors import CheckpointError, UnknownModel
from model.load import load
from model.protocol import Options
from tests.conftest import Bucket
from workers.pipeline.models import Models
from workers.settings import Settings
from workers.storage.client import s3_client

BUNDLED = Path(model.__file__).parent / "checkpoints" / "sam_tiny.safetensors"


def models(settings: Settings, folder: Path, **changes: object) -> Models:
    changed = settings.model_copy(update={"models": ("sam_tiny",), "cache": folder} | changes)
    return Models(changed, s3_client(changed))


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Torch's threads as they were before the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_checkpoint_comes_from_s3(settings: Settings, bucket: Bucket, tmp_path: Path) -> None:
    uri = bucket.put("weights/sam_tiny.safetensors", BUNDLED.read_bytes())
    loaded = models(settings, tmp_path, checkpoints={"sam_tiny": uri}).warm()
    assert [(one.name, one.precision, one.device) for one in loaded] == [("sam_tiny", "exact", "cpu")]


def test_a_checkpoint_that_is_not_there_says_where(settings: Settings, bucket: Bucket, tmp_path: Path) -> None:
    uri = f"s3://{bucket.name}/weights/none.safetensors"
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        models(settings, tmp_path, checkpoints={"sam_tiny": uri}).warm()


def test_a_second_precision_is_loaded_when_asked_for(settings: Settings, tmp_path: Path) -> None:
    all_of_it = models(settings, tmp_path)
    assert all_of_it.get("sam_tiny", "fast").precision == "fast"
    assert all_of_it.get("sam_tiny", None) is all_of_it.get("sam_tiny", "exact")


def test_a_model_is_loaded_in_a_thread_that_ends(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else OpenMP counts the thread for good, and every batch gets slower."""
    threads: list[threading.Thread] = []

    def watched(name: str, options: Options) -> object:
        threads.append(threading.current_thread())
        return load(name, options)

    monkeypatch.setattr("workers.pipeline.models.load", watched)
    models(settings, tmp_path).warm()
    (loader,) = threads
    assert loader is not threading.current_thread() and not loader.is_alive()


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize(("threads", "batches", "each"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (16, 4, 4)])
def test_a_cpu_computes_several_batches_at_once(
    settings: Settings, tmp_path: Path, threads: int, batches: int, each: int
) -> None:
    assert models(settings, tmp_path, threads=threads).batches_at_once == batches
    assert torch.get_num_threads() == each


def test_the_null_model_computes_one_batch_at_a_time(settings: Settings, tmp_path: Path) -> None:
    assert models(settings, tmp_path, models=("null",), threads=8).batches_at_once == 1


def test_an_unknown_model_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="sam_huge"):
        models(settings, tmp_path).get("sam_huge", None)
