"""Policies of the manifests: what a schema cannot say. Each gives a line for each fault that it finds."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from model.sizes import SIZES
from tools.manifests.build import Object
from tools.manifests.objects import Objects, Pods, strings

Policy = Callable[[Objects], Iterator[str]]

MODEL: Final = "maskworks/model"
_SECRET = re.compile(r"PASSWORD|SECRET|_KEY$|PEPPER|DATABASE_URL|REDIS_URL")
_CREDENTIALS = re.compile(r"://[^/\s@]*:[^/\s@]+@")


def broken_policies(objects: Sequence[Object]) -> Iterator[str]:
    seen = Objects(objects)
    for policy in POLICIES:
        yield from policy(seen)


def one_namespace(objects: Objects) -> Iterator[str]:
    """Everything is in the one namespace that the overlay makes."""
    namespaces = objects.names("Namespace")
    if len(namespaces) != 1:
        yield f"there are {len(namespaces)} Namespaces, and must be one"
    for each in objects.namespaced:
        if {each["metadata"].get("namespace")} != namespaces:
            yield f"{each['kind']} {each['metadata']['name']}: not in the namespace {', '.join(namespaces)}"


def pinned_images(objects: Objects) -> Iterator[str]:
    for pod in objects.pods:
        mounted = [each["image"]["reference"] for each in pod.spec.get("volumes", []) if "image" in each]
        for image in [*(each["image"] for each in pod.containers), *mounted]:
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"{pod.title}: the image {image} has no fixed tag"
        if any("@sha256:" not in image for image in mounted):
            yield f"{pod.title}: an image of weights needs a digest"


def least_rights(objects: Objects) -> Iterator[str]:
    """Nothing runs as root, may become root, writes its image, or talks to Kubernetes."""
    for pod in objects.pods:
        whole = pod.spec.get("securityContext", {})
        if whole.get("runAsNonRoot") is not True or whole.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.title}: must say runAsNonRoot and seccompProfile RuntimeDefault"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.title}: must not mount a token for Kubernetes"
        for container in pod.containers:
            own = container.get("securityContext", {})
            wanted = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            yield from (
                f"{pod.title}, {container['name']}: {field} must be {value}"
                for field, value in wanted.items()
                if own.get(field) != value
            )


def limits(objects: Objects) -> Iterator[str]:
    """Memory and disk have limits. Processor time has none: a limit there only makes a process slower."""
    for pod in objects.pods:
        for container in pod.containers:
            resources = container.get("resources", {})
            for kind, names in (("requests", ("cpu", "memory")), ("limits", ("memory", "ephemeral-storage"))):
                missing = set(names) - set(resources.get(kind, {}))
                if missing:
                    yield f"{pod.title}, {container['name']}: {kind} lack {', '.join(sorted(missing))}"


def probes(objects: Objects) -> Iterator[str]:
    """A Deployment tells when it has started and whether it lives; what clients reach, whether it is ready."""
    served = {pod.name for each in objects.of("Service") for pod in objects.selected(each["spec"]["selector"])}
    for pod in objects.pods:
        wanted = {"startupProbe", "livenessProbe"} | ({"readinessProbe"} if pod.name in served else set())
        for container in pod.spec["containers"] if pod.kind == "Deployment" else []:
            if missing := wanted - set(container):
                yield f"{pod.title}, {container['name']}: lacks {', '.join(sorted(missing))}"


def no_secrets(objects: Objects) -> Iterator[str]:
    """Secrets come by reference."""
    yield from (f"Secret {name}: secrets are not part of an overlay" for name in objects.names("Secret"))
    for each in objects.all:
        title = f"{each['kind']} {each['metadata']['name']}"
        yield from (f"{title}: {path} holds a password" for path, text in strings(each) if _CREDENTIALS.search(text))
    for pod in objects.pods:
        for container in pod.containers:
            for variable in container.get("env", []):
                if _SECRET.search(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                    yield f"{pod.title}, {container['name']}: {variable['name']} must come from a Secret"
    yield from (f"ConfigMap: {name} must come from a Secret" for name in objects.settings if _SECRET.search(name))


def selectors(objects: Objects) -> Iterator[str]:
    """What selects pods finds some, by ports that they have. Every Deployment may be disrupted, within a budget."""
    budgets: list[str] = []
    for each in objects.of("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = each["spec"]
        found = objects.selected(spec.get("podSelector", spec.get("selector")))
        ports = {port for pod in found for port in pod.ports}
        title = f"{each['kind']} {each['metadata']['name']}"
        if not found:
            yield f"{title}: selects no pod"
        yield from (f"{title}: no pod has a port {port}" for port in _named_ports(spec) if port not in ports)
        if each["kind"] == "PodDisruptionBudget":
            budgets += [pod.name for pod in found]
    for pod in objects.pods:
        if pod.kind == "Deployment" and budgets.count(pod.name) != 1:
            yield f"{pod.title}: has {budgets.count(pod.name)} PodDisruptionBudgets, and must have one"


def _named_ports(spec: Any) -> Iterator[str]:
    """Names of ports of pods that an object speaks of."""
    places = [*spec.get("podMetricsEndpoints", []), *spec.get("ports", [])]
    places += [port for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
    for port in places:
        name = port.get("targetPort", port.get("port"))
        if isinstance(name, str):
            yield name


def closed_network(objects: Objects) -> Iterator[str]:
    """Policies for both directions cover every pod."""
    covered = {
        pod.name
        for each in objects.of("NetworkPolicy")
        if {"Ingress", "Egress"} <= set(each["spec"]["policyTypes"])
        for pod in objects.selected(each["spec"]["podSelector"])
    }
    yield from (f"{pod.title}: no NetworkPolicy closes it" for pod in objects.pods if pod.name not in covered)


def known_references(objects: Objects) -> Iterator[str]:
    """Accounts, priorities, settings and claims that pods name are there."""
    for pod in objects.pods:
        named = [
            ("ServiceAccount", pod.spec.get("serviceAccountName")),
            ("PriorityClass", pod.spec.get("priorityClassName")),
            *(
                ("ResourceClaimTemplate", each["resourceClaimTemplateName"])
                for each in pod.spec.get("resourceClaims", [])
            ),
            *(("ConfigMap", each["configMapRef"]["name"]) for c in pod.containers for each in c.get("envFrom", [])),
        ]
        yield from (
            f"{pod.title}: there is no {kind} {name}" for kind, name in named if name not in objects.names(kind)
        )


def scaled_by_one(objects: Objects) -> Iterator[str]:
    """A Deployment that an autoscaler has gives no number of its own: each `apply` would overrule it."""
    scalers = objects.of("HorizontalPodAutoscaler", "ScaledObject")
    targets = [each["spec"]["scaleTargetRef"]["name"] for each in scalers]
    for each in objects.of("Deployment"):
        name = each["metadata"]["name"]
        if targets.count(name) > 1 or (name in targets and "replicas" in each["spec"]):
            yield f"Deployment {name}: two would set its number of pods"
    for name in set(targets) - objects.names("Deployment"):
        yield f"there is no Deployment {name} to scale"
    for each in objects.of("ScaledObject"):
        model = each["metadata"].get("labels", {}).get(MODEL)
        for trigger in each["spec"]["triggers"]:
            if f"'{model}'" not in trigger["metadata"]["query"]:
                yield f"ScaledObject {each['metadata']['name']}: its query is not about {model}"


def keda_admits(objects: Objects) -> Iterator[str]:
    """What KEDA's admission refuses beyond its schema."""
    for each in objects.of("ScaledObject"):
        title, spec = f"ScaledObject {each['metadata']['name']}", each["spec"]
        least = spec.get("minReplicaCount", 0)
        if max(least, 1) > spec.get("maxReplicaCount", 100):
            yield f"{title}: minReplicaCount is more than maxReplicaCount"
        if spec.get("idleReplicaCount", -1) >= least:
            yield f"{title}: idleReplicaCount must be less than minReplicaCount"
        kinds = {trigger.get("metricType", "AverageValue") for trigger in spec["triggers"]}
        if "fallback" in spec and "AverageValue" not in kinds:
            yield f"{title}: a fallback needs a trigger of AverageValue"


def models_have_workers(objects: Objects) -> Iterator[str]:
    """Models that the API offers have workers, and these have weights."""
    offered = set(objects.settings.get("MASKWORKS_MODELS", "sam_tiny").split(","))
    workers = {pod.labels[MODEL]: pod for pod in objects.pods if MODEL in pod.labels}
    yield from (f"the model {name} is offered and has no worker" for name in sorted(offered - set(workers)))
    yield from (f"the model {name} has workers and is not offered" for name in sorted(set(workers) - offered))
    for name, pod in workers.items():
        if name not in SIZES:
            yield f"{pod.title}: no model is called {name}"
        elif SIZES[name].url is not None and not _has_weights(name, pod, objects):
            yield f"{pod.title}: nothing brings the weights of {name} (components/weights-fetch)"


def _has_weights(name: str, pod: Pods, objects: Objects) -> bool:
    fetched = any("model.weights" in each.get("args", []) for each in pod.spec.get("initContainers", []))
    mounted = any("image" in each for each in pod.spec.get("volumes", []))
    return fetched or mounted or f"{name}=" in objects.settings.get("MASKWORKS_CHECKPOINTS", "")


POLICIES: Final[tuple[Policy, ...]] = (
    one_namespace,
    pinned_images,
    least_rights,
    limits,
    probes,
    no_secrets,
    selectors,
    closed_network,
    known_references,
    scaled_by_one,
    keda_admits,
    models_have_workers,
)
