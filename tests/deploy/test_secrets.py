"""The documented commands make every Secret key that a manifest or component asks for, in the namespace of the pods."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.manifests.build import kubectl

ROOT = Path(__file__).parents[2]
PAGES = ("kubernetes", "gke", "eks", "kubeadm")


def _commands(page: str) -> list[str]:
    """The commands of a page that begin with kubectl, with the lines that belong to them."""
    text = (ROOT / f"docs/{page}.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [each for block in blocks for each in re.findall(r"^kubectl (?:.*\\\n)*.*$", block, re.MULTILINE)]


def _secret(page: str) -> str:
    (found,) = [each for each in _commands(page) if "create secret generic" in each]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_keda_has_a_role_of_its_own_which_a_later_command_makes(page: str) -> None:
    (role,) = re.findall(r"keda-connection=\"postgresql://(\w+):\$KEDA_PASSWORD@", _secret(page))
    commands = _commands(page)
    (made,) = [each for each in commands if "db.autoscaler" in each]
    assert made.endswith(f'python -m db.autoscaler {role} <<< "$KEDA_PASSWORD"')
    migrated = next(number for number, each in enumerate(commands) if "job/maskworks-migrate" in each)
    assert commands.index(_secret(page)) < migrated < commands.index(made)
    assert "KEDA_PASSWORD=$(openssl" in (ROOT / f"docs/{page}.md").read_text()


def _keys(page: str) -> set[str]:
    return set(re.findall(r"--from-literal=([\w-]+)=", _secret(page)))


def _asked_for(value: Any) -> Iterator[tuple[str, str, bool]]:
    """(Secret, key, needed) of every reference inside an object, wherever it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("secretKeyRef", "secretTargetRef"):
                references = inner if isinstance(inner, list) else [inner]
                yield from ((each["name"], each["key"], not each.get("optional", False)) for each in references)
            assert name not in ("secretRef", "secretName"), "all keys of a Secret at once: name them here"
            yield from _asked_for(yaml.safe_load(inner) if name == "patch" else inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _asked_for(inner)


def test_every_key_that_a_manifest_asks_for_is_in_the_documented_commands() -> None:
    files = sorted((ROOT / "deploy/k8s").rglob("*.yaml"))
    asked = {each for file in files for one in yaml.safe_load_all(file.read_text()) for each in _asked_for(one)}
    assert {name for name, _, _ in asked} == {"maskworks"}
    assert {"keda-connection", "database-url"} <= {key for _, key, needed in asked if needed}
    assert _keys("kubernetes") == {key for _, key, _ in asked}
    for page in PAGES:
        assert {key for _, key, needed in asked if needed} <= _keys(page) <= _keys("kubernetes"), page


@pytest.mark.parametrize("page", PAGES)
def test_kubectl_takes_the_command_as_printed(page: str) -> None:
    script = _secret(page).replace("kubectl", kubectl(), 1) + " --dry-run=client -o json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    secret = json.loads(done.stdout)
    assert set(secret["data"]) == _keys(page)
    assert (secret["metadata"]["namespace"], secret["metadata"]["name"]) == ("maskworks", "maskworks")


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_the_namespace_and_files_that_exist(page: str) -> None:
    for command in _commands(page):
        place = re.search(r"(?:-f|-k) (\S+)", command)
        assert command.startswith("kubectl -n maskworks ") or place or command.startswith("kubectl get nodes"), command
        assert place is None or place[1] == "$OVERLAY" or (ROOT / place[1]).exists(), command
