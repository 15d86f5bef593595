"""Dashboard and alerts: their expressions parse, each metric in them is exported, and each alert is explained."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client import REGISTRY

from api.http import latency
from db import counters
from db.states import FINAL_JOB_STATES, ItemReason, WebhookState
from model.embeddings import cache
from tools.manifests.build import build
from workers import gpu
from workers.chunks import metrics as of_chunks
from workers.chunks.chunk import End
from workers.dispatcher import backlog
from workers.dispatcher import metrics as of_dispatcher
from workers.pipeline import metrics as of_pipeline

ROOT = Path(__file__).parents[2]
COMPONENTS = ROOT / "deploy/k8s/components"
GUIDE = (ROOT / "docs/operations.md").read_text()
DASHBOARD = json.loads((COMPONENTS / "dashboard/maskworks.json").read_text())
RULES = yaml.safe_load((COMPONENTS / "alerts/prometheusrule.yaml").read_text())["spec"]["groups"][0]["rules"]
MODULES = (latency, counters, cache, of_chunks, of_dispatcher, of_pipeline)
"""Their import registers what they export."""


def exported() -> set[str]:
    """Names of all samples of ours, with a label or not."""
    assert MODULES
    names = {gpu.MEMORY, gpu.UTILISATION, *backlog.NAMES}
    for family in REGISTRY.collect():
        if family.name.startswith("maskworks_"):
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            names |= {family.name + end for end in ends}
    return names


def used(node: Any) -> Iterator[str]:
    """Metrics of an expression."""
    yield from re.findall(r"\bmaskworks_\w+", str(node))


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [expr.replace("$__rate_interval", "5m") for expr in panels] + [rule["expr"] for rule in RULES]


def test_each_expression_parses_and_names_what_is_exported() -> None:
    known, found = exported(), set[str]()
    for expression in expressions():
        promql_parser.parse(expression)
        found |= set(used(expression))
    assert len(found) > 20 and found - known == set()


def test_the_guide_lists_every_metric_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(maskworks_\w+)`", GUIDE, re.MULTILINE))
    assert listed == {re.sub("_(bucket|sum|count)$", "", name) for name in exported()}


def test_the_guide_explains_every_alert_and_no_other() -> None:
    assert re.findall(r"^### (Maskworks\w+)$", GUIDE, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_panels_stand_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, p["y"]) for p in places for x in range(p["x"], p["x"] + p["w"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_both_components_build(tmp_path: Path) -> None:
    shutil.copytree(COMPONENTS, tmp_path / "components")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    used = "components: [../components/alerts, ../components/dashboard]"
    (overlay / "kustomization.yaml").write_text(used)
    objects = {each["kind"]: each for each in build(overlay)}
    assert json.loads(objects["ConfigMap"]["data"]["maskworks.json"]) == DASHBOARD
    assert objects["PrometheusRule"]["spec"]["groups"][0]["rules"] == RULES


def test_counters_of_known_labels_begin_at_zero() -> None:
    """Prometheus does not see the growth of a counter that it first reads as 1."""
    series: dict[str, list[dict[str, str]]] = {
        "maskworks_jobs_ended_total": [{"state": each} for each in FINAL_JOB_STATES],
        "maskworks_items_total": [
            *({"outcome": each, "reason": ""} for each in ("computed", "reused")),
            *({"outcome": "failed", "reason": each} for each in ItemReason),
        ],
        "maskworks_chunks_total": [{"end": each} for each in End],
        "maskworks_webhook_tries_total": [{"outcome": each} for each in WebhookState if each != WebhookState.SKIPPED],
        "maskworks_embedding_cache_lookups_total": [{"result": each} for each in ("hit", "miss")],
    }
    missing = [
        (n, labels) for n, all_ in series.items() for labels in all_ if REGISTRY.get_sample_value(n, labels) is None
    ]
    assert missing == []
