"""A project of somebody else, with mypy in strict mode: it sees the types of the installed client."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "client.md"

RIGHT = """
from pathlib import Path

from maskworks import AsyncClient, Client, Job


def areas(folder: Path) -> list[tuple[str, int]]:
    with Client() as client:
        job: Job = client.jobs.submit(images=[folder], labels={"run": "7"}).wait(60.0, check=True)
        return [(result.custom_id, mask.area) for result in job.results() for mask in result.masks]


async def failed(prefix: str) -> int:
    async with AsyncClient() as client:
        job = await client.jobs.submit(prefix=prefix, priority=3)
        async for event in job.events():
            print(event.job.counts.failed)
        return (await job.wait()).counts.failed
"""
WRONG = """
from maskworks import AsyncClient, Client

Client().jobs.submit(prefix="s3://a/", priority="high")
AsyncClient().jobs.submit(prefix="s3://a/").id
area: str = Client().segment("a.jpg").masks[0].area
content: str = Client().embed("a.jpg").content
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an environment of its own, in which the client is installed beside what it needs."""
    venv.create(tmp_path / "venv")
    packages = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    shutil.copytree(ROOT / "client" / "maskworks", packages / "maskworks")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "pyproject.toml").write_text("[tool.mypy]\nstrict = true\n")
    return tmp_path


def test_mypy_in_strict_mode_finds_what_is_wrong_and_nothing_else(project: Path) -> None:
    (project / "right.py").write_text(RIGHT)
    (project / "wrong.py").write_text(WRONG)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (project / "page.py").write_text("\n".join(examples))
    # The cache holds the types of other packages from run to run: reading them takes seconds.
    cache = ROOT / ".mypy_cache" / "project"
    words = ["--python-executable", "venv/bin/python", "--cache-dir", cache, "right.py", "wrong.py", "page.py"]
    command = [sys.executable, "-m", "mypy", *map(str, words)]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    found = re.findall(r"^(\w+\.py:\d+): error: .*\[(.*)\]$", done.stdout, re.M)
    assert found == [
        ("wrong.py:4", "arg-type"),
        ("wrong.py:5", "attr-defined"),
        ("wrong.py:6", "assignment"),
        ("wrong.py:7", "assignment"),
    ], done.stdout
