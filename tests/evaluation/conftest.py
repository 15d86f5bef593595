"""The shipped model, loaded once."""

import pytest

from model.backends.sam import Segmenter


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    return Segmenter.load("sam_tiny")
