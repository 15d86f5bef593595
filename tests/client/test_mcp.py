"""`maskworks mcp` as an assistant runs it: a process that speaks JSON-RPC over stdin and stdout."""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deploy.local.stack import Stack

PACKAGE = Path(__file__).parents[2] / "client"
LIBRARY = Path(sys.prefix) / "mcp"
"""Beside the other packages: see the Makefile."""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(service: Stack) -> Iterator[Ask]:
    """Call a method of the server; its result."""
    if not LIBRARY.exists():
        pytest.skip("make install could not install the package mcp")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{PACKAGE}:{LIBRARY}",
        "MASKWORKS_STACK": str(service.folder.stack_file),
    }
    words = [sys.executable, "-m", "maskworks.cli", "mcp"]
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        to, back, number = process.stdin, process.stdout, 0

        def ask(method: str, **params: Any) -> Any:
            nonlocal number
            number += 1
            print(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}), file=to, flush=True)
            while (answer := json.loads(back.readline())).get("id") != number:
                pass
            return answer["result"]

        about = {"name": "tests", "version": "1"}
        ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=about)
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), file=to, flush=True)
        yield ask
        to.close()
        assert process.wait(30) == 0


def call(ask: Ask, tool: str, **arguments: Any) -> Any:
    answer = ask("tools/call", name=tool, arguments=arguments)
    assert not answer.get("isError"), answer
    return answer["content"]


def test_an_assistant_submits_follows_and_looks(ask: Ask, photos: Path) -> None:
    tools = {tool["name"]: tool for tool in ask("tools/list")["tools"]}
    assert tools.keys() >= {"submit", "job", "jobs", "items", "show_masks", "segment", "models", "cancel", "retry"}
    assert all(tool["description"] for tool in tools.values())
    job = json.loads(call(ask, "submit", images=[str(photos)])[0]["text"])
    done = json.loads(call(ask, "job", job_id=job["id"], wait_seconds=50)[0]["text"])
    assert done["state"] == "succeeded" and done["counts"]["succeeded"] == 2
    (picture,) = call(ask, "show_masks", job_id=job["id"], item_id="1")
    image = Image.open(io.BytesIO(base64.b64decode(picture["data"])))
    assert picture["mimeType"] == "image/jpeg" and image.size == (451, 300)
    refused = ask("tools/call", name="job", arguments={"job_id": "job_00000000000000000000000000000000"})
    assert refused["isError"] and "JOB_NOT_FOUND" in refused["content"][0]["text"]
