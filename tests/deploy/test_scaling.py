"""What autoscalers are told in deploy/k8s and docs/operations.md, asked of a real database."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import psycopg
import pytest
from sqlalchemy import make_url

from bench.scaling.autoscaler import Behaviour
from db.engine import sync_engine
from deploy.local.stores import Stores
from tests.jobs import submit
from tools.manifests.build import build

ROOT = Path(__file__).parents[2]
SQL = re.findall(r"^```sql\n(.*?)^```", (ROOT / "docs/operations.md").read_text(), re.MULTILINE | re.DOTALL)
(ROLE,) = [block for block in SQL if "CREATE ROLE" in block]
BOTH = {"keda": "ScaledObject", "hpa": "HorizontalPodAutoscaler"}
WORKER = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: maskworks-worker}}"


def by_kind(folder: Path) -> dict[str, dict[str, Any]]:
    """Objects by kind, the last of each."""
    return {each["kind"]: each for each in build(folder)}


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Components over a worker whose name has a suffix, as where each model has workers of its own."""

    def over(*components: str) -> dict[str, dict[str, Any]]:
        shutil.copytree(ROOT / "deploy/k8s/components", tmp_path / "components", dirs_exist_ok=True)
        model = tmp_path / "model"
        model.mkdir()
        (model / "worker.yaml").write_text(
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: maskworks-worker}}"
        )
        used = "".join(f"  - ../components/{each}\n" for each in components)
        (model / "kustomization.yaml").write_text(
            f"nameSuffix: -sam-vit-h\nresources: [worker.yaml]\ncomponents:\n{used}"
        )
        return by_kind(model)

    return over


@pytest.mark.parametrize(("component", "kind"), BOTH.items())
def test_a_models_autoscaler_follows_the_name_of_its_deployment(
    built: Callable[..., dict[str, dict[str, Any]]], component: str, kind: str
) -> None:
    objects = built(component)
    spec = objects[kind]["spec"]
    assert spec["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"] == "maskworks-worker-sam-vit-h"
    assert spec.get("minReplicaCount", spec.get("minReplicas")) == 0
    if component == "hpa":
        kubernetes_validate.validate(objects[kind], "1.36", strict=True)
        behavior = spec["behavior"]
    else:
        secret = objects["TriggerAuthentication"]["metadata"]["name"]
        assert spec["triggers"][0]["authenticationRef"]["name"] == secret
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down, simulated = behavior["scaleUp"], behavior["scaleDown"], Behaviour()
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, simulated.stabilisation)
    assert spec.get("cooldownPeriod", simulated.cooldown) == simulated.cooldown
    assert [(rule["value"], rule["periodSeconds"]) for rule in up["policies"] + down["policies"]] == [
        (simulated.up_percent, simulated.up_period),
        (simulated.up_pods, simulated.up_period),
        (simulated.down_percent, simulated.down_period),
        (simulated.down_pods, simulated.down_period),
    ]


def test_an_interactive_model_keeps_a_worker(built: Callable[..., dict[str, dict[str, Any]]]) -> None:
    assert built("keda", "keda-interactive")["ScaledObject"]["spec"]["minReplicaCount"] == 1


def test_the_documented_role_may_ask_what_keda_asks_and_nothing_else(database: str, stores: Stores) -> None:
    trigger = by_kind(ROOT / "deploy/k8s/overlays/gpu")["ScaledObject"]["spec"]["triggers"][0]
    assert (trigger["metricType"], trigger["metadata"]["targetQueryValue"]) == ("AverageValue", "1")
    query = trigger["metadata"]["query"]
    (model,) = re.findall(r"'(\w+)'", query)
    engine = sync_engine(database)
    submit(engine, ["s3://b/a"] * 3601, model=model)
    submit(engine, ["s3://b/a"] * 5000, model="sam_tiny")
    engine.dispose()
    ours = make_url(database).set(drivername="postgresql")
    superuser = make_url(stores.superuser_url).set(drivername="postgresql", database=ours.database)
    with psycopg.connect(superuser.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(ROLE)
        try:
            keda = ours.set(username="keda", password="change-me").render_as_string(hide_password=False)
            with psycopg.connect(keda, autocommit=True) as asking:
                assert asking.execute(query).fetchone() == (3,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    asking.execute("SELECT * FROM jobs")
        finally:
            connection.execute("DROP OWNED BY keda; DROP ROLE keda")
