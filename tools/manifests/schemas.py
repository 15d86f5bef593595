"""Whether Kubernetes takes an object: by its own schemas, and by ours for kinds that controllers define."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tools.manifests.build import Object

VERSIONS: Final = ("1.35", "1.37")
"""The oldest and the newest release of Kubernetes that the manifests are for."""


def broken_schemas(objects: Sequence[Object]) -> Iterator[str]:
    for each in objects:
        own = _ours().get(each["kind"])
        faults = _by_ours(each, own) if own is not None else _by_kubernetes(each)
        yield from (f"{each['kind']} {each['metadata']['name']}: {fault}" for fault in faults)


@cache
def _ours() -> dict[str, Any]:
    return dict(yaml.safe_load(Path(__file__).with_name("schemas.yaml").read_text())["kinds"])


def _by_ours(each: Object, own: dict[str, Any]) -> Iterator[str]:
    if each["apiVersion"] != own["apiVersion"]:
        yield f"apiVersion is {each['apiVersion']}, not {own['apiVersion']}"
    for error in Draft202012Validator(own["spec"]).iter_errors(each.get("spec")):
        yield f"{error.json_path.replace('$', 'spec', 1)}: {error.message}"


def _by_kubernetes(each: Object) -> tuple[str, ...]:
    return tuple(fault for version in VERSIONS for fault in _by_release(json.dumps(each), version))


@cache  # overlays share most of their objects
def _by_release(text: str, version: str) -> tuple[str, ...]:
    each = json.loads(text)
    try:
        kubernetes_validate.validate(each, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})",)
    except kubernetes_validate.SchemaNotFoundError:
        return (f"{each['apiVersion']} is not known to Kubernetes {version}; add it to tools/manifests/schemas.yaml",)
    return ()
