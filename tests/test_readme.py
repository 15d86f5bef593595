"""The shell commands of README.md and the pages that repeat them, run exactly as they are printed.

They run in a folder that looks like a fresh clone whose `.venv` is installed, with the null model.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/quickstart.md", "docs/deployment.md")


def blocks(page: str) -> list[str]:
    """The sh blocks of a page."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)


def block(page: str, word: str) -> str:
    """The one block of a page with that word in it."""
    (found,) = [each for each in blocks(page) if word in each]
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone as `make install` leaves it, with a folder of pictures."""
    folder = tmp_path_factory.mktemp("clone")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("photos", "demo-out"):
            (folder / entry.name).symlink_to(entry)
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in (".runtime", ".developer"):
            (environment / entry.name).symlink_to(entry)
    for stamp in (".runtime", ".developer"):
        (environment / stamp).touch()
    (folder / "photos").mkdir()
    Image.new("RGB", (64, 48), "teal").save(folder / "photos/one.jpg")
    return folder


def variables(clone: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MASKWORKS_", "PYTEST"))}
    path = f"{clone}/.venv/bin:{inherited['PATH']}"
    return {**inherited, "PATH": path, "PYTHONPATH": f"{clone}:{clone}/client", "MASKWORKS_MODELS": "null", **more}


def shell(clone: Path, script: str, **more: str) -> str:
    """What a script prints; each of its commands has to succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone, env=variables(clone, **more), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(clone: Path, command: str, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """A command that goes on until it is told to stop; its output lies in `output.txt`, named by its words."""
    log = clone / f"{re.sub(r'[^a-z]+', '-', command)}.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=clone, env=variables(clone, **more), stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True,
        )  # fmt: skip
    try:
        yield process
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(60)


def eventually(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert process.poll() is None and time.monotonic() < deadline, "the command ended, or is not ready"
        time.sleep(0.1)


def commands(text: str) -> list[str]:
    """The commands of a block without their comments."""
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line.strip()]


def test_the_two_commands_of_the_readme_are_those_that_start_it() -> None:
    assert commands(block("README.md", "make demo")) == ["make demo", "make up"]


def test_a_job_as_the_readme_and_the_quickstart_run_it(clone: Path) -> None:
    up = commands(block("README.md", "make demo"))[1]
    data = clone / "data"
    with running(clone, up, DATA=str(data), PORT="0") as process:
        eventually((data / "stack.json").exists, process)
        for page in ("README.md", "docs/quickstart.md"):
            printed = shell(clone, block(page, "make put"), DATA=str(data))
            assert '"state":"succeeded"' in printed.replace(" ", "")
            coco = json.loads((clone / "masks.json").read_text())
            assert [image["file_name"].endswith("one.jpg") for image in coco["images"]] == [True]
            (clone / "masks.json").unlink()
            shell(clone, block(page, "maskworks submit"), MASKWORKS_STACK=str(data / "stack.json"))
            (written,) = clone.glob("job_*.coco.json")
            written.unlink()
    said = (clone / "make-up.txt").read_text()
    assert f"make put DIR=photos DATA={data}" in said and f"make reset DATA={data}" in said
    shell(clone, "make reset", DATA=str(data))
    assert not data.exists()


def test_the_commands_by_hand_are_a_service(clone: Path, settings_env: dict[str, str]) -> None:
    by_hand = block("README.md", "python -m db.migrate")
    assert by_hand == block("docs/deployment.md", "python -m db.migrate")
    migrate, *services, create = commands(by_hand)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    environment = settings_env
    assert "at revision" in shell(clone, migrate, **environment)
    key = shell(clone, create, **environment).strip()
    with ExitStack() as stack:
        here = [command.replace("api.server", f"api.server --port {port}") for command in services]
        processes = [stack.enter_context(running(clone, command, **environment)) for command in here]
        headers = {"Authorization": f"Bearer {key}"}
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers))
        eventually(lambda: _answers(client), processes[0])
        eventually(lambda: bool(client.get("/v1/models").json()["models"][0]["loaded"]), processes[-1])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_tenants_and_keys_as_the_deployment_page_makes_them(clone: Path, settings_env: dict[str, str]) -> None:
    printed = shell(clone, block("docs/deployment.md", "tenants create"), **settings_env)
    assert printed.startswith("mw_") and "s3://images/other/" in printed and "laptop" in printed


def test_no_command_uses_a_variable_that_no_command_sets() -> None:
    for page in PAGES:
        known = {"MASKWORKS_URL", "MASKWORKS_API_KEY"} if any("make -s env" in each for each in blocks(page)) else set()
        for each in blocks(page):
            used = set(re.findall(r"\$\{?([A-Z_]+)", each))
            assert used <= known | set(re.findall(r"\b([A-Z_]+)=", each)), page
