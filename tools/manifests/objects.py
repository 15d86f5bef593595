"""The objects of an overlay, as policies look at them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tools.manifests.build import Object

_CLUSTER_WIDE = ("Namespace", "PriorityClass")


@dataclass(frozen=True)
class Pods:
    """Pods of one Deployment or Job."""

    kind: str
    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> set[str]:
        return {port["name"] for each in self.containers for port in each.get("ports", []) if "name" in port}


@dataclass(frozen=True)
class Objects:
    """All objects of an overlay."""

    all: Sequence[Object]

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.all if each["kind"] in kinds]

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.of(kind)}

    @cached_property
    def pods(self) -> list[Pods]:
        return [
            Pods(each["kind"], each["metadata"]["name"], template["metadata"]["labels"], template["spec"])
            for each in self.of("Deployment", "Job")
            for template in [each["spec"]["template"]]
        ]

    @property
    def namespaced(self) -> list[Object]:
        return [each for each in self.all if each["kind"] not in _CLUSTER_WIDE]

    def selected(self, selector: Mapping[str, Any]) -> list[Pods]:
        """The pods that `matchLabels` and `matchExpressions` (In only), or plain labels, choose."""
        plain = not {"matchLabels", "matchExpressions"} & set(selector)
        labels = selector if plain else selector.get("matchLabels", {})
        among = [(each["key"], each["values"]) for each in selector.get("matchExpressions", [])]
        return [
            pod
            for pod in self.pods
            if labels.items() <= pod.labels.items() and all(pod.labels.get(key) in values for key, values in among)
        ]

    @property
    def settings(self) -> dict[str, str]:
        """The shared settings, by variable."""
        return {name: value for each in self.of("ConfigMap") for name, value in each["data"].items()}


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of every string inside an object."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from strings(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, f"{path}[{index}]")
