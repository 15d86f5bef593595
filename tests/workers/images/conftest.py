"""Switch off Pillow's own limit on pixels, as a worker does."""

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _no_second_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
