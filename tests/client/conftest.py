"""The client against the whole service as processes, once for all its tests. The null model draws rectangles.

service   session   a running `Stack`
client    session   a client of it, with the local stack's access to S3
photos    session   a folder of two photographs
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from deploy.local.stack import Stack, stack
from maskworks import Client, Config
from tests.folders import new_folder


@pytest.fixture(scope="session")
def service() -> Iterator[Stack]:
    with new_folder("maskworks-client-") as folder, stack(folder / "data", models="null", fast=True) as running:
        yield running


@pytest.fixture(scope="session")
def config(service: Stack) -> Config:
    return Config.find(env={"MASKWORKS_STACK": str(service.folder.stack_file), "HOME": "/nowhere"})


@pytest.fixture(scope="session")
def client(config: Config) -> Iterator[Client]:
    with Client(config=config) as client:
        yield client


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.jpg")
    (folder / "more").mkdir()
    Image.fromarray(skimage.data.chelsea()).save(folder / "more" / "cat.png")
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "notes.txt").touch()
    return folder
