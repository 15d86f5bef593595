"""deploy/k8s builds, is what Kubernetes and its controllers take, keeps its policies, and suits the other packages."""

import copy
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.manifests.__main__ import findings, main
from tools.manifests.build import OVERLAYS, build
from tools.manifests.objects import Objects as Seen
from tools.manifests.policies import broken_policies
from tools.manifests.schemas import broken_schemas

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
WORKER = ("Deployment", "maskworks-worker-sam-vit-b")


def _by_name(objects: list[Object]) -> Objects:
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


@pytest.fixture(scope="module")
def built() -> dict[str, list[Object]]:
    return {folder.name: build(folder) for folder in sorted(OVERLAYS.iterdir())}


@pytest.fixture
def gpu(built: dict[str, list[Object]]) -> Objects:
    return _by_name(copy.deepcopy(built["gpu"]))


def _container(objects: Objects, name: tuple[str, str]) -> Object:
    container: Object = objects[name]["spec"]["template"]["spec"]["containers"][0]
    return container


def test_every_overlay_keeps_schemas_and_policies(built: dict[str, list[Object]]) -> None:
    assert {"cpu", "gpu", "gpu-mig", "gpu-dra", "gke", "eks", "external-services"} <= set(built)
    assert {name: [*broken_schemas(each), *broken_policies(each)] for name, each in built.items()} == {
        name: [] for name in built
    }


def _drop(objects: Objects, name: tuple[str, str], *path: Any) -> None:
    place: Any = objects[name]
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]


def _set(objects: Objects, name: tuple[str, str], *path: Any) -> None:
    *steps, value = path
    place: Any = objects[name]
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value


POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)
API = ("Deployment", "maskworks-api")
SCALED = ("ScaledObject", "maskworks-worker-sam-vit-b")
POSTGRES = "postgresql://maskworks:hunter2@postgres/maskworks"
# What breaks the overlay, and a part of the line that says so.
BREAKS: tuple[tuple[Callable[[Objects], object], str], ...] = (
    (lambda o: _set(o, API, *FIRST, "image", "maskworks-api"), "no fixed tag"),
    (lambda o: _set(o, API, *FIRST, "image", "host:5000/maskworks-api:latest"), "no fixed tag"),
    (lambda o: _drop(o, WORKER, *POD, "securityContext", "runAsNonRoot"), "must say runAsNonRoot"),
    (lambda o: _set(o, WORKER, *POD, "initContainers", 0, "securityContext", {}), "allowPrivilegeEscalation must be"),
    (lambda o: _drop(o, API, *FIRST, "securityContext", "readOnlyRootFilesystem"), "readOnlyRootFilesystem must be"),
    (lambda o: _drop(o, API, *POD, "automountServiceAccountToken"), "must not mount a token"),
    (lambda o: _drop(o, WORKER, *FIRST, "resources", "limits", "memory"), "limits lack memory"),
    (lambda o: _drop(o, API, *FIRST, "readinessProbe"), "lacks readinessProbe"),
    (lambda o: _drop(o, ("Deployment", "maskworks-dispatcher"), *FIRST, "livenessProbe"), "lacks livenessProbe"),
    (lambda o: _set(o, API, *FIRST, "env", 0, {"name": "MASKWORKS_KEY_PEPPER", "value": "x"}), "come from a Secret"),
    (lambda o: _set(o, API, *FIRST, "env", 0, {"name": "X", "value": POSTGRES}), "holds a password"),
    (lambda o: _set(o, API, "spec", "replicas", 2), "two would set its number of pods"),
    (lambda o: _set(o, API, *POD, "serviceAccountName", "default"), "there is no ServiceAccount default"),
    (lambda o: _set(o, API, "metadata", "namespace", "default"), "not in the namespace maskworks"),
    (lambda o: _set(o, ("Service", "maskworks-api"), "spec", "selector", {"app": "x"}), "selects no pod"),
    (lambda o: _drop(o, API, *FIRST, "ports", 0), "no pod has a port http"),
    (lambda o: _drop(o, ("NetworkPolicy", "maskworks"), "spec", "policyTypes", 1), "no NetworkPolicy closes it"),
    (lambda o: o.pop(("PodDisruptionBudget", "maskworks-api")), "has 0 PodDisruptionBudgets"),
    (lambda o: _drop(o, WORKER, *POD, "initContainers"), "nothing brings the weights of sam_vit_b"),
    (lambda o: o.pop(WORKER), "sam_vit_b is offered and has no worker"),
    (lambda o: _set(o, SCALED, "metadata", "labels", "maskworks/model", "sam_tiny"), "its query is not about sam_tiny"),
    (lambda o: _set(o, SCALED, "spec", "cooldownperiod", 1), "'cooldownperiod' was unexpected"),
    (lambda o: _set(o, SCALED, "spec", "minReplicaCount", -1), "less than the minimum"),
    (lambda o: _set(o, SCALED, "spec", "minReplicaCount", 17), "minReplicaCount is more than maxReplicaCount"),
    (lambda o: _set(o, SCALED, "spec", "idleReplicaCount", 0), "idleReplicaCount must be less"),
    (lambda o: _set(o, SCALED, "spec", "triggers", 0, "metricType", "Value"), "a fallback needs a trigger of Average"),
    (lambda o: _set(o, API, "spec", "strategie", {}), "'strategie' was unexpected"),
    (lambda o: _set(o, API, *FIRST, "ports", 0, "containerPort", "8000"), "is not of type 'integer'"),
    (lambda o: _set(o, ("Namespace", "maskworks"), "apiVersion", "v2"), "is not known to Kubernetes"),
)


@pytest.fixture(scope="module")
def whole(built: dict[str, list[Object]]) -> list[Object]:
    return built["gpu"]


def test_each_fault_is_found(whole: list[Object]) -> None:
    missed = []
    for number, (damage, said) in enumerate(BREAKS):
        objects = _by_name(copy.deepcopy(whole))
        damage(objects)
        changed = [each for each in objects.values() if each not in whole]
        found = [*broken_schemas(changed), *broken_policies(list(objects.values()))]
        if not any(said in line for line in found):
            missed.append((number, said, found))
    assert missed == []


def test_the_command_refuses_a_broken_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(OVERLAYS.parent, tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/cpu"
    worker = tmp_path / "k8s/worker/worker.yaml"
    worker.write_text(worker.read_text().replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    assert main([str(overlay)]) == 1
    assert "readOnlyRootFilesystem must be True" in capsys.readouterr().out
    worker.unlink()
    assert main([str(overlay)]) == 1
    assert "worker.yaml" in capsys.readouterr().out


def test_another_model_and_every_option_are_a_few_lines(tmp_path: Path) -> None:
    """As docs/kubernetes.md says it: the folder of a model is copied, and components are listed."""
    shutil.copytree(OVERLAYS.parent, tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/gpu"
    model = (overlay / "sam-vit-b/kustomization.yaml").read_text()
    (overlay / "mobile-sam").mkdir()
    (overlay / "mobile-sam/kustomization.yaml").write_text(
        model.replace("sam-vit-b", "mobile-sam").replace("sam_vit_b", "mobile_sam")
    )
    by_kubernetes = (
        (overlay / "sam-vit-b/kustomization.yaml").read_text().replace("components/keda\n", "components/hpa\n")
    )
    (overlay / "sam-vit-b/kustomization.yaml").write_text(by_kubernetes)
    top = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    top["resources"].append("mobile-sam")
    (settings,) = top["configMapGenerator"]
    settings["literals"] = ["MASKWORKS_MODELS=sam_vit_b,mobile_sam"]
    used = {component.rpartition("/")[2] for component in top["components"]} | {
        "cpu",
        "keda",
        "keda-interactive",
        "hpa",
    }
    rest = sorted({folder.name for folder in (tmp_path / "k8s/components").iterdir()} - used)
    assert {"alerts", "dashboard", "kueue", "monitoring", "weights-image", "cloud-role", "gateway"} <= set(rest)
    top["components"] += [f"../../components/{name}" for name in rest]
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(top))
    assert findings(overlay) == []
    objects = _by_name(build(overlay))
    scaled = objects["ScaledObject", "maskworks-worker-mobile-sam"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "maskworks-worker-mobile-sam"
    assert scaled["triggers"][0]["metadata"]["query"] == "SELECT wanted_workers('mobile_sam')"
    assert ("TriggerAuthentication", scaled["triggers"][0]["authenticationRef"]["name"]) in objects
    worker = _container(objects, ("Deployment", "maskworks-worker-mobile-sam"))
    variables = {each["name"]: each.get("value") for each in worker["env"]}
    assert variables["MASKWORKS_TEXT"]
    writable = {each["mountPath"] for each in worker["volumeMounts"] if not each.get("readOnly")}
    assert variables["HF_HOME"] in writable  # /cache is an image of weights here
    other = objects["HorizontalPodAutoscaler", "maskworks-worker-sam-vit-b"]["spec"]
    assert other["scaleTargetRef"]["name"] == "maskworks-worker-sam-vit-b"
    assert other["metrics"][0]["external"]["metric"]["selector"]["matchLabels"] == {"model": "sam_vit_b"}


def test_every_variable_is_a_setting(built: dict[str, list[Object]]) -> None:
    from api.settings import Settings as ApiSettings
    from workers.dispatcher.settings import Settings as DispatcherSettings
    from workers.settings import Settings as WorkerSettings

    classes = (ApiSettings, WorkerSettings, DispatcherSettings)
    known = {f"MASKWORKS_{name.upper()}" for each in classes for name in each.model_fields}
    known |= {"FORWARDED_ALLOW_IPS", "AWS_CA_BUNDLE"}  # uvicorn's and boto3's
    for objects in map(_by_name, built.values()):
        for (kind, name), each in objects.items():
            if kind == "ConfigMap":
                assert set(each["data"]) <= known
            if kind in ("Deployment", "Job"):
                assert {one["name"] for one in _container(objects, (kind, name)).get("env", [])} <= known


def test_the_api_takes_the_role_that_the_migration_makes(gpu: Objects) -> None:
    def role(name: tuple[str, str]) -> str:
        (value,) = [e["value"] for e in _container(gpu, name)["env"] if e["name"] == "MASKWORKS_API_ROLE"]
        return str(value)

    assert role(API) == role(("Job", "maskworks-migrate"))
    assert f"CREATE ROLE {role(API)};" in (ROOT / "docs/deployment.md").read_text()
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    assert {compose[name]["environment"]["MASKWORKS_API_ROLE"] for name in ("api", "migrate")} == {role(API)}


def test_names_and_tags_of_images_are_those_that_are_built(built: dict[str, list[Object]]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    targets = set(re.findall(r"^FROM \S+ AS (api|worker-\w+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE))
    assert targets == {"api", "worker-cpu", "worker-cuda"}
    pods = [pod for objects in built.values() for pod in Seen(objects).pods]
    used = {each["image"].rpartition("/")[2] for pod in pods for each in pod.containers}
    assert used == {f"maskworks-{target}:{version}" for target in targets}
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    assert {one["image"] for one in compose if "build" in one} == used


def test_load_balancers_wait_for_a_poll_and_close_connections_before_the_api_does(
    built: dict[str, list[Object]],
) -> None:
    longest_poll = 60
    eks, gke = _by_name(built["eks"]), _by_name(built["gke"])
    attributes = eks["Ingress", "maskworks"]["metadata"]["annotations"]
    idle = int(attributes["alb.ingress.kubernetes.io/load-balancer-attributes"].partition("timeout_seconds=")[2])
    google_idle = 600
    for objects, waits in ((eks, idle), (gke, google_idle)):
        (settings,) = (each["data"] for (kind, _), each in objects.items() if kind == "ConfigMap")
        assert longest_poll < waits < int(settings["MASKWORKS_KEEP_ALIVE_SECONDS"])
    assert gke["GCPBackendPolicy", "maskworks-api"]["spec"]["default"]["timeoutSec"] > longest_poll
    assert "timeouts" not in str(gke["HTTPRoute", "maskworks"])


def test_a_worker_has_a_gpu_by_one_way_only(built: dict[str, list[Object]]) -> None:
    ways = {"gpu": "nvidia.com/gpu", "gpu-mig": "nvidia.com/mig-1g.10gb", "gpu-dra": None, "gke": "nvidia.com/gpu"}
    for overlay, resource in ways.items():
        objects = _by_name(built[overlay])
        resources = _container(objects, WORKER)["resources"]
        assert [name for name in resources["limits"] if name.startswith("nvidia")] == ([resource] if resource else [])
        assert ("claims" in resources) == (resource is None)
    cpu = _by_name(built["cpu"])["Deployment", "maskworks-worker-sam-tiny"]
    assert "nvidia" not in str(cpu["spec"]["template"]["spec"])


def test_a_dispatchers_watchdog_acts_before_its_probe(gpu: Objects) -> None:
    from workers.dispatcher.settings import Settings

    command = _container(gpu, ("Deployment", "maskworks-dispatcher"))["livenessProbe"]["exec"]["command"][-1]
    minutes = int(command.split("-mmin -")[1].split(")")[0])
    assert Settings.model_fields["stall_seconds"].default < 60 * minutes


def test_a_dispatchers_probes_tell_a_fresh_touch_from_an_old_one(gpu: Objects, tmp_path: Path) -> None:
    from workers.dispatcher.liveness import Beat

    container = _container(gpu, ("Deployment", "maskworks-dispatcher"))

    def passes(probe: str) -> bool:
        command = [word.replace("/run/maskworks", str(tmp_path)) for word in container[probe]["exec"]["command"]]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    assert not passes("startupProbe") and not passes("livenessProbe")
    beat = Beat(tmp_path, 600)
    beat.touch()
    assert passes("startupProbe") and passes("livenessProbe")
    os.utime(tmp_path / "dispatcher-loop", (time.time() - 600,) * 2)
    assert passes("startupProbe") and not passes("livenessProbe")
    beat.touch()
    assert passes("livenessProbe")
