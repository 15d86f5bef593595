"""What stands in `examples/`: the notebook, the cron script and the function for CVAT run.

The others are read, and their types are checked: Airflow, Prefect, Dagster and Label Studio are too heavy for that.
"""

import base64
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deploy.local.stack import Stack
from maskworks import Client
from tools import notebook

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_the_notebook_runs_and_shows_masks(
    service: Stack, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MASKWORKS_STACK": service.folder.stack_file,
        "PYTHONPATH": ROOT / "client",
        "IPYTHONDIR": tmp_path / "ipython",
    }.items():
        monkeypatch.setenv(name, str(value))
    (tmp_path / "photos").symlink_to(photos)
    shown = [cell.get("outputs", []) for cell in notebook.run(tmp_path).cells]
    assert "succeeded 2/2" in shown[5][0].data["text/plain"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(shown[n][0].data["image/png"]))).size for n in (9, 14)]
    assert sizes == [(600, 400), (451, 300)]
    assert json.loads((tmp_path / "masks.json").read_text())["annotations"]
    assert (tmp_path / "yolo/labels/more/cat.txt").read_text()


def test_the_outputs_that_the_notebook_keeps_are_of_its_cells() -> None:
    text = notebook.PATH.read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) == len(cells) and {each["output_type"] for each in outputs} == {"execute_result"}
    assert len(text) < 400_000


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


def test_a_click_in_cvat_is_answered(client: Client, photos: Path) -> None:
    """What Nuclio adds around it is not installed here."""
    names = runpy.run_path(str(EXAMPLES / "cvat/main.py"))
    image = base64.b64encode((photos / "coffee.jpg").read_bytes()).decode()
    mask = names["answer"](client, {"image": image, "pos_points": [[300, 200]], "neg_points": [[10, 10]]})["mask"]
    assert (
        len(mask) == 400 and {len(row) for row in mask} == {600} and {value for row in mask for value in row} == {0, 1}
    )
    mask = names["answer"](client, {"image": image, "obj_bbox": [[150, 60], [450, 330]]})["mask"]
    assert sum(map(sum, mask)) == 300 * 270


def test_the_others_are_python() -> None:
    paths = sorted(EXAMPLES.rglob("*.py"))
    assert len(paths) >= 5
    for path in paths:
        compile(path.read_text(), str(path), "exec")
