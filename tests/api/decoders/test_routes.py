"""Mask decoders are listed with their models and downloaded by name."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from api.decoders.files import BUNDLED
from tests.api.conftest import Service, new_tenant, serving, settings

pytestmark = pytest.mark.anyio
(SHIPPED,) = BUNDLED.iterdir()
REVISION = SHIPPED.stem.removeprefix("sam_tiny-")
URL = f"/v1/models/sam_tiny/decoders/{REVISION}"


async def test_the_decoder_that_comes_with_the_package(service: Service) -> None:
    listed = (await service.client.get("/v1/models")).json()["models"]
    assert {model["name"]: model["decoders"] for model in listed} == {"sam_tiny": [REVISION], "null": []}
    answer = await service.client.get(URL)
    assert (answer.status_code, answer.content) == (200, SHIPPED.read_bytes())
    assert answer.headers["content-length"] == str(len(answer.content))
    again = await service.client.get(URL, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "url",
    [
        "/v1/models/sam_tiny/decoders/000000000000",
        f"/v1/models/sam_vit_b/decoders/{REVISION}",
        f"/v1/models/null/decoders/{REVISION}",
        f"/v1/models/sam_tiny/decoders/..%2Fbundled%2F{REVISION}",
        "/v1/models/..%2F..%2Fsam_tiny/decoders/%00",
        f"/v1/models/{'x' * 5000}/decoders/0",
    ],
)
async def test_other_names_are_not_found(service: Service, url: str) -> None:
    answer = await service.client.get(url)
    assert (answer.status_code, answer.json()["reason"] in ("DECODER_NOT_FOUND", "NOT_FOUND")) == (404, True)


async def test_a_folder_of_the_operator(module_database: str, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "null-0123456789ab.onnx").write_bytes(b"a decoder")
    (tmp_path / "sam_vit_b-0123456789ab.onnx").write_bytes(b"of a model that is not served")
    (tmp_path / "notes.txt").write_text("no decoder")
    _, key = new_tenant(engine)
    async with serving(settings(module_database, decoders=tmp_path), key) as client:
        answers = [await client.get(f"/v1/models/{name}/decoders/0123456789ab") for name in ("null", "sam_vit_b")]
        listed = (await client.get("/v1/models")).json()["models"]
    assert [answer.status_code for answer in answers] == [200, 404] and answers[0].content == b"a decoder"
    assert listed[1]["decoders"] == ["0123456789ab"]


async def test_a_key_is_needed(service: Service) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.client.app), base_url="http://api") as stranger:
        assert (await stranger.get(URL)).status_code == 401
