"""The command: it goes on where it was stopped, compares models on the same pictures, and draws cases."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from evaluation import __main__ as command
from evaluation.bootstrap import differences, intervals, resampled, samples
from evaluation.journal import Journal, RunError
from evaluation.subjects import SubjectError, named
from evaluation.task import Figures
from model.backends.sam import Segmenter
from tests.evaluation.drawn import disc, save
from training.export import export


def ask(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
    command.main()


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    """Three pictures of a disc, as arguments."""
    for k in range(3):
        mask = disc(x=20 + 8 * k, radius=10 + k)
        save(tmp_path / "images" / f"{k}.png", np.where(mask[..., None], (220, 180, 60), (30, 40, 90)).astype(np.uint8))
        save(tmp_path / "truth" / f"{k}.png", mask.astype(np.uint8))
    return ["--format", "maps", "--images", tmp_path / "images", "--ground-truth", tmp_path / "truth"]


def test_two_models_are_compared_and_a_run_goes_on(
    tmp_path: Path,
    data: list[object],
    segmenter: Segmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = f"sam_tiny,precision=fast,checkpoint={tmp_path / 'w.safetensors'}"
    export({name: 1.02 * value for name, value in segmenter.state_dict().items()}, tmp_path / "w.safetensors")
    models = ["--model", "sam_tiny", "--model", other]
    words = ["clicks", *data, *models, "--out", tmp_path / "out", "--resamples", 50, "--most", 2]
    ask(monkeypatch, *words)
    first = capsys.readouterr()
    assert "3/3 pictures" in first.err
    assert "| regions | 3 | 3 |" in first.out and f"{other} − sam_tiny" in first.out
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    exact, fast = told["figures"]["sam_tiny"]["top@1"], told["figures"][other]["top@1"]
    apart = told["differences"][other]["top@1"]
    assert apart["value"] == pytest.approx(fast["value"] - exact["value"])
    assert apart["low"] <= apart["value"] <= apart["high"]
    assert told["identities"][other]["precision"] == "fast"
    with Pillow.open(tmp_path / "out" / "sam_tiny" / "cases.jpg") as sheet:
        assert len(np.unique(np.asarray(sheet))) > 50

    records = tmp_path / "out" / "sam_tiny" / "records.jsonl"
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:3]) + lines[3][:40])  # killed while it wrote the third picture
    ask(monkeypatch, *words)
    again = capsys.readouterr()
    assert again.out == first.out
    assert "1/1 pictures" in again.err
    assert records.read_text() == "".join(lines)
    with pytest.raises(SystemExit, match=r"another run, with min share 0\.0 instead of 0\.02"):
        ask(monkeypatch, *words, "--min-share", 0.02)


def test_classical_methods_get_the_same_clicks(
    tmp_path: Path, data: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, "classical", *data, "--model", "sam_tiny", "--out", tmp_path, "--limit", 1, "--resamples", 5)
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]["sam_tiny"]
    assert figures["flood best tolerance"]["value"] > 0.8
    assert "| grabcut | " in capsys.readouterr().out


def test_another_run_is_not_mixed_in(tmp_path: Path) -> None:
    Journal(tmp_path / "a" / "records.jsonl", {"model": "x", "dtype": "float32"}).add("1", {"k": 1})
    assert Journal(tmp_path / "a" / "records.jsonl", {"model": "x", "dtype": "float32"}).records == {"1": {"k": 1}}
    with pytest.raises(RunError, match="dtype float32 instead of bfloat16"):
        Journal(tmp_path / "a" / "records.jsonl", {"model": "x", "dtype": "bfloat16"})


def test_errors_are_told_in_a_line(tmp_path: Path, data: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    out = ["--out", tmp_path / "out"]
    with pytest.raises(SystemExit, match="no model is called 'sam_huge'"):
        ask(monkeypatch, "clicks", *data, "--model", "sam_huge", *out)
    with pytest.raises(SystemExit, match="there is no folder"):
        ask(monkeypatch, "clicks", "--format", "grabcut", "--images", tmp_path, "--model", "sam_tiny", *out)


def test_models_are_named_with_what_they_set() -> None:
    found = named("sam_tiny,precision=fast,box_nms_thresh=0.5", {"box_nms_thresh"})
    assert (found.name, found.own, found.settings) == ("sam_tiny", {"precision": "fast"}, {"box_nms_thresh": 0.5})
    assert named("m,checkpoint=/a/b.pth", ()).folder == "m,checkpoint=_a_b.pth"
    for wrong in ("sam_tiny,speed=1", "sam_tiny,fast", "sam_tiny,bfloat16=maybe", "sam_tiny,box_nms_thresh=0.5"):
        with pytest.raises(SubjectError, match=wrong.partition(",")[2]):
            named(wrong, ())


def test_differences_are_paired() -> None:
    """Pictures differ much and the models by a constant: each interval is wide, that of the difference is a point."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, 40)
    index = samples(40, 200)

    def figures(add: float) -> tuple[Figures, list[Figures]]:
        def tally(chosen: np.ndarray) -> Figures:
            return {"mean": float(values[chosen].mean() + add)}

        return tally(np.arange(40)), resampled(tally, index)

    both = figures(0), figures(0.01)
    alone = intervals(*both[0])["mean"]
    assert alone.low < alone.value < alone.high and alone.high - alone.low > 0.1
    apart = differences(both[0], both[1])["mean"]
    assert (apart.low, apart.high) == pytest.approx((0.01, 0.01))
    # Close to the normal approximation: 1.96 standard errors on each side.
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * values.std() / 40**0.5, rel=0.2)
