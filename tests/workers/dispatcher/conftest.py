"""The dispatcher's settings in place of a worker's."""

import pytest

from workers.dispatcher.settings import Settings


@pytest.fixture
def settings(dispatcher_settings: Settings) -> Settings:
    return dispatcher_settings
