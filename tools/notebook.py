"""`python -m tools.notebook FOLDER`: run examples/quickstart.ipynb and keep its outputs.

The pictures are in FOLDER/photos, and the service that `maskworks` finds there takes them.
"""

import sys
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

from tools.layout import ROOT

PATH: Final = ROOT / "examples" / "quickstart.ipynb"


def run(folder: Path) -> Any:
    """The notebook with its outputs. Raises CellExecutionError."""
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def kept(notebook: Any) -> Any:
    """Without what differs from run to run: times, and progress. A picture is kept in its smallest form."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type == "execute_result"]
            for output in cell.outputs:
                if "image/jpeg" in output.data:
                    del output.data["image/png"]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(kept(run(Path(sys.argv[1]))), PATH)
