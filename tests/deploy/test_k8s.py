"""deploy/k8s builds, is what Kubernetes and KEDA take, and says what the other packages mean by it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

K8S = Path(__file__).parents[2] / "deploy/k8s"
OVERLAYS = ("gpu", "cpu")
VERSION = "1.32"
Objects = dict[tuple[str, str], dict[str, Any]]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

WHOLE = {"type": "integer", "minimum": 0}
RULES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "stabilizationWindowSeconds": {**WHOLE, "maximum": 3600},
        "selectPolicy": {"enum": ["Max", "Min", "Disabled"]},
        "policies": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "value", "periodSeconds"],
                "properties": {
                    "type": {"enum": ["Pods", "Percent"]},
                    "value": {"type": "integer", "minimum": 1},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                },
            },
        },
    },
}
# What keda.sh/v1alpha1's definitions say of the fields that we use, and that there are no others.
KEDA = {
    "ScaledObject": {
        "type": "object",
        "additionalProperties": False,
        "required": ["scaleTargetRef", "triggers"],
        "properties": {
            "scaleTargetRef": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "minReplicaCount": WHOLE,
            "maxReplicaCount": {"type": "integer", "minimum": 1},
            "pollingInterval": WHOLE,
            "cooldownPeriod": WHOLE,
            "fallback": {
                "type": "object",
                "additionalProperties": False,
                "required": ["failureThreshold", "replicas"],
                "properties": {
                    "failureThreshold": WHOLE,
                    "replicas": WHOLE,
                    "behavior": {
                        "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
                    },
                },
            },
            "advanced": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "horizontalPodAutoscalerConfig": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "behavior": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {"scaleUp": RULES, "scaleDown": RULES},
                            }
                        },
                    }
                },
            },
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["type", "metadata"],
                    "properties": {
                        "type": {"const": "postgresql"},
                        "metricType": {"enum": ["AverageValue", "Value"]},
                        "metadata": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["query", "targetQueryValue"],
                            "properties": {
                                name: {"type": "string"}
                                for name in ("query", "targetQueryValue", "activationTargetQueryValue")
                            },
                        },
                        "authenticationRef": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "secretTargetRef": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["parameter", "name", "key"],
                    "properties": {name: {"type": "string"} for name in ("parameter", "name", "key")},
                },
            }
        },
    },
}


def _build(overlay: str) -> Objects:
    built = subprocess.run(
        ["kubectl", "kustomize", str(K8S / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(built.stdout)}


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> Objects:
    return _build(request.param)


@pytest.fixture(scope="module")
def gpu() -> Objects:
    return _build("gpu")


def _pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """Pod templates by component."""
    kinds = ("Deployment", "Job")
    return {
        name.removeprefix("maskworks-"): each["spec"]["template"]
        for (kind, name), each in objects.items()
        if kind in kinds
    }


def test_kubernetes_takes_every_object(objects: Objects) -> None:
    for (kind, _), each in objects.items():
        if kind not in KEDA:
            kubernetes_validate.validate(each, VERSION, strict=True)


def test_keda_takes_its_objects(gpu: Objects) -> None:
    checked = [(each, KEDA[kind]) for (kind, _), each in gpu.items() if kind in KEDA]
    assert len(checked) == 2
    for each, schema in checked:
        assert each["apiVersion"] == "keda.sh/v1alpha1"
        Draft202012Validator(schema).validate(each["spec"])


def test_keda_scales_a_deployment_with_a_secret_that_is_there(gpu: Objects) -> None:
    spec = gpu["ScaledObject", "maskworks-worker"]["spec"]
    target = gpu["Deployment", spec["scaleTargetRef"]["name"]]
    assert "replicas" not in target["spec"]
    assert ("TriggerAuthentication", spec["triggers"][0]["authenticationRef"]["name"]) in gpu


def test_every_selector_finds_its_pods(objects: Objects) -> None:
    pods = [template["metadata"]["labels"] for template in _pods(objects).values()]
    for (kind, name), each in objects.items():
        spec = each["spec"] if kind in ("Service", "PodDisruptionBudget", "NetworkPolicy") else {}
        selector = spec.get("podSelector") or spec.get("selector") or {}
        labels = selector.get("matchLabels", selector)
        found = [pod for pod in pods if labels.items() <= pod.items()]
        expected = len(pods) if name == "maskworks" else 1
        assert not spec or len(found) == expected, (kind, name)


def test_settings_are_settings_and_secrets_come_by_reference(objects: Objects) -> None:
    from api.settings import Settings as ApiSettings
    from workers.dispatcher.settings import Settings as DispatcherSettings
    from workers.settings import Settings as WorkerSettings

    classes = (ApiSettings, WorkerSettings, DispatcherSettings)
    known = {f"MASKWORKS_{name.upper()}" for each in classes for name in each.model_fields}
    assert not [kind for kind, _ in objects if kind == "Secret"]
    for template in _pods(objects).values():
        for variable in template["spec"]["containers"][0].get("env", []):
            assert variable["name"] in known
            secret = any(word in variable["name"] for word in ("URL", "KEY", "PEPPER"))
            assert ("valueFrom" in variable) == secret, variable["name"]
    for (kind, _), each in objects.items():
        if kind == "ConfigMap":
            assert set(each["data"]) <= known


def test_nothing_runs_as_root_or_may_write_its_image(objects: Objects) -> None:
    for template in _pods(objects).values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_a_worker_has_a_gpu_time_to_leave_and_probes_of_its_own(gpu: Objects) -> None:
    spec = _pods(gpu)["worker"]["spec"]
    container = spec["containers"][0]
    health = {each["name"]: each.get("value") for each in container["env"]}["MASKWORKS_HEALTH_DIR"]
    assert spec["terminationGracePeriodSeconds"] == 120
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["startupProbe"]["exec"]["command"] == ["test", "-f", f"{health}/loaded"]
    assert f"{health}/gpu-loop" in container["livenessProbe"]["exec"]["command"][-1]
    assert health in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "nvidia.com/gpu" not in str(_pods(_build("cpu"))["worker"]["spec"])


def test_a_dispatcher_has_probes_of_its_own_and_a_watchdog_before_them(gpu: Objects) -> None:
    from workers.dispatcher.liveness import FILE
    from workers.dispatcher.settings import Settings

    container = _pods(gpu)["dispatcher"]["spec"]["containers"][0]
    health = {each["name"]: each.get("value") for each in container["env"]}["MASKWORKS_HEALTH_DIR"]
    assert container["startupProbe"]["exec"]["command"] == ["test", "-f", f"{health}/{FILE}"]
    command = container["livenessProbe"]["exec"]["command"][-1]
    assert f"{health}/{FILE}" in command
    assert health in {mount["mountPath"] for mount in container["volumeMounts"]}
    minutes = int(command.split("-mmin -")[1].split(")")[0])
    assert Settings.model_fields["stall_seconds"].default < 60 * minutes


@pytest.mark.parametrize(("component", "file"), [("worker", "gpu-loop"), ("dispatcher", "dispatcher-loop")])
def test_the_liveness_probe_tells_a_fresh_touch_from_an_old_one(
    gpu: Objects, tmp_path: Path, component: str, file: str
) -> None:
    import os
    import time

    command = list(_pods(gpu)[component]["spec"]["containers"][0]["livenessProbe"]["exec"]["command"])
    command[-1] = command[-1].replace("/run/maskworks", str(tmp_path))
    beat = tmp_path / file

    def alive() -> bool:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    assert not alive()
    beat.touch()
    assert alive()
    os.utime(beat, (time.time() - 600,) * 2)
    assert not alive()
