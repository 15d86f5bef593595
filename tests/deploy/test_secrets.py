"""The documented command makes every Secret key that a manifest or component asks for."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE | re.DOTALL)
(COMMAND,) = [block for block in BLOCKS if "create secret generic" in block]
NAME = COMMAND.split("create secret generic")[1].split()[0]
KEYS = set(re.findall(r"--from-literal=([\w-]+)=", COMMAND))


def _asked_for(value: Any) -> Iterator[tuple[str, str]]:
    """(Secret, key) of every reference inside an object, wherever it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("secretKeyRef", "secretTargetRef"):
                yield from ((each["name"], each["key"]) for each in (inner if isinstance(inner, list) else [inner]))
            assert name not in ("secretRef", "secretName"), "all keys of a Secret at once: name them here"
            yield from _asked_for(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _asked_for(inner)


def test_every_key_that_a_manifest_asks_for_is_in_the_documented_command() -> None:
    files = sorted((ROOT / "deploy/k8s").rglob("*.yaml"))
    asked = {pair for file in files for each in yaml.safe_load_all(file.read_text()) for pair in _asked_for(each)}
    assert ("maskworks", "keda-connection") in asked and ("maskworks", "database-url") in asked
    assert asked == {(NAME, key) for key in KEYS}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_takes_the_command_as_printed() -> None:
    script = f"{COMMAND.strip()} --dry-run=client -o json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["data"]) == KEYS
