"""What stands in `examples/`: the notebook and the cron script run; the others are read and their types checked.

Airflow, Prefect, Dagster, Label Studio and CVAT are too heavy to install here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from maskworks import Client

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_the_cells_of_the_notebook_run(
    service: Stack, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWORKS_STACK", str(service.folder.stack_file))
    (tmp_path / "photos").symlink_to(photos)
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    names["client"].close()
    assert names["pixels"].shape == (400, 600) and names["picture"].size == (600, 400)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "masks.json", "yolo"}
    assert (tmp_path / "yolo/labels/more/cat.txt").read_text().count("\n") == len(names["results"][1].masks)


def test_the_cron_script_makes_one_job_a_day(service: Stack, client: Client, photos: Path, tmp_path: Path) -> None:
    job = client.jobs.submit(images=[photos / "coffee.jpg"]).wait(200, check=True)
    (item,) = job.items()
    environment = {
        **os.environ,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "client"),
        "MASKWORKS_STACK": str(service.folder.stack_file),
        "PREFIX": item.image.removesuffix("coffee.jpg"),
        "OUT": str(tmp_path),
    }
    for _ in range(2):
        subprocess.run([EXAMPLES / "cron/nightly.sh"], env=environment, check=True, timeout=200)
    (path,) = tmp_path.glob("*.json")
    name = f"nightly {path.stem}"
    assert json.loads(path.read_text())["images"] and [j.record.name for j in client.jobs.list()].count(name) == 1


def test_the_others_are_python() -> None:
    paths = sorted(EXAMPLES.rglob("*.py"))
    assert len(paths) >= 5
    for path in paths:
        compile(path.read_text(), str(path), "exec")
