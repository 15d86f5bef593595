"""As in a worker, the limit is the one that the caller gives, not Pillow's."""

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _no_second_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
