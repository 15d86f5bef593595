"""Imports point one way. Read from the source, so that an import inside a function counts too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "api",
    "exports",
    "workers",
    "intake",
    "model",
    "db",
    "deploy",
    "training",
    "evaluation",
    "engine",
    "bench",
    "tools",
)
ALLOWED = {
    "db": {"db"},
    "model": {"model"},
    "exports": {"exports", "db", "model.masks.rle", "model.masks.outlines", "model.masks.tiles"},
    "intake": {"intake", "db", "model.spec"},
    "workers": {"workers", "exports", "intake", "model", "db"},
    "api": {
        *("api", "exports", "intake", "db", "model.spec", "model.masks.rle", "model.hub_name"),
        *("workers.failures", "workers.images", "workers.storage"),  # for overlays; they know nothing of Celery
    },
    "deploy": {
        *("deploy", "db", "api.settings", "workers.settings", "workers.dispatcher.settings"),
        *("workers.pipeline.models", "workers.images.drawing", "model.errors", "model.masks.rle"),
    },
    "training": {"training", "model"},
    "evaluation": {"evaluation", "training", "model"},
    "engine": {"engine", "evaluation", "training", "model", "deploy.local"},  # rounds run on a local stack
    "bench": {"bench", "api", "exports", "workers", "intake", "model", "db", "deploy"},
    "tools": {
        "tools",
        "db.states",
        "model.sizes",
        "api.settings",
        "exports.table",
        "workers.images.formats",
        "workers.settings",
        "workers.testing.settings",
        "workers.dispatcher.settings",
    },
}
# What a room (a folder or a file of a package) may import from its package, besides itself. Add a line for each room.
ROOMS: dict[str, set[str]] = {
    "api.tenant": set(),
    "api.settings": set(),
    "api.refusals": set(),
    "api.errors": {"api.refusals"},
    "api.wrong_keys": {"api.refusals"},
    "api.scopes": {"api.refusals"},
    "api.rate_limit": {"api.refusals", "api.settings", "api.tenant"},
    "api.auth": {"api.rate_limit", "api.wrong_keys", "api.refusals", "api.scopes", "api.tenant"},
    "api.database": {"api.refusals", "api.settings"},
    "api.http": {"api.errors", "api.refusals", "api.tenant"},
    "api.jobs": {
        *("api.auth", "api.database", "api.errors", "api.refusals", "api.http", "api.settings", "api.tenant"),
        *("api.items.earlier_masks", "api.webhooks.schemas"),
    },
    "api.instant": {
        *("api.auth", "api.refusals", "api.http", "api.items", "api.jobs.schemas", "api.jobs.submission"),
        *("api.settings", "api.tenant"),
    },
    "api.items": {
        *("api.auth", "api.database", "api.refusals", "api.http", "api.settings", "api.store_access", "api.tenant"),
    },
    "api.store_access": {"api.settings"},
    "api.uploads": {
        *("api.auth", "api.database", "api.refusals", "api.http", "api.settings", "api.store_access", "api.tenant"),
    },
    "api.webhooks": {"api.auth", "api.database", "api.refusals", "api.http", "api.settings", "api.tenant"},
    "api.events": {
        *("api.auth", "api.database", "api.refusals", "api.http", "api.jobs.views", "api.tenant"),
    },
    "api.annotations": {
        *("api.auth", "api.database", "api.refusals", "api.http", "api.settings", "api.tenant"),
        *("api.exports.download", "api.exports.response", "api.items.views", "api.jobs.submission"),
    },
    "api.exports": {"api.auth", "api.database", "api.http", "api.tenant"},
    "api.health": {"api.database", "api.refusals", "api.http"},
    "api.decoders": {"api.refusals", "api.http"},
    "api.models": {"api.decoders.files", "api.auth", "api.database", "api.http", "api.settings"},
    "api.openapi": {"api.annotations.schemas", "api.http", "api.instant.schemas", "api.jobs"},
    "api.pages": set(),
    "db.allow_list": set(),
    "db.api_key": set(),
    "db.webhook_secret": set(),
    "db.scopes": set(),
    "db.durations": set(),
    "db.globs": set(),
    "db.limits": set(),
    "db.bands": set(),
    "db.image_page": set(),
    "db.georeference": set(),
    "db.object_uri": {"db.globs", "db.image_page"},
    "db.web_url": {"db.object_uri"},
    "db.web_image": {"db.image_page", "db.object_uri", "db.web_url"},
    "db.counters": {"db.states"},
    "db.configuration": {"db.url"},
    "db.traces": {"db.configuration"},
    "db.logs": {"db.traces"},
    "db.metrics_server": set(),
    "db.states": set(),
    "db.queues": set(),
    "db.mask_row": set(),
    "db.tables": {"db.mask_row", "db.states"},
    "db.statements": {"db.api_key", "db.image_page", "db.object_uri", "db.queues", "db.states", "db.tables"},
    "db.endings": {"db.counters", "db.states", "db.statements"},
    "db.own_rows": set(),
    "db.roles": set(),
    "db.api_role": {"db.roles"},
    "db.autoscaler": {"db.command", "db.roles"},
    "db.engine": {"db.own_rows", "db.url"},
    "intake.fingerprint": set(),
    "intake.messages": set(),
    "intake.fields": set(),
    "intake.json_object": {"intake.messages"},
    "intake.lines": set(),
    "intake.line_formats": {"intake.json_object"},
    "intake.item_lines": {"intake.item", "intake.line_formats", "intake.lines"},
    "intake.calls": set(),
    "intake.item": {"intake.fields", "intake.messages", "intake.prompt"},
    "intake.prompt": set(),
    "model.jit": set(),
    "model.masks": {"model.jit"},
    "model.networks": {"model.sizes"},
    "model.weights": {"model.networks", "model.sizes", "model.hub_name", "model.errors"},
    "model.hub_name": set(),
    "model.hub": {
        *("model.networks", "model.embeddings", "model.masks", "model.words", "model.hub_name", "model.sizes"),
        "model.errors",
    },
    "model.embeddings": {"model.networks", "model.masks", "model.errors"},
    "model.words": {"model.networks", "model.masks", "model.spec", "model.errors"},
    "model.tasks": {
        "model.words",
        "model.networks",
        "model.masks",
        "model.device",
        "model.sizes",
        "model.spec",
        "model.errors",
    },
    "model.backends": {
        *("model.tasks", "model.words", "model.embeddings", "model.weights", "model.networks", "model.masks"),
        *("model.hub", "model.protocol", "model.device", "model.sizes", "model.spec", "model.errors"),
    },
    "model.tiles": {"model.masks", "model.sizes", "model.spec"},
    "model.export": {"model.weights", "model.networks", "model.sizes", "model.errors"},
    "model.protocol": {"model.masks", "model.spec", "model.words.protocol"},
    "model.spec": {"model.masks.rle"},
    "evaluation.data": set(),
    "evaluation.measures": {"evaluation.data.picture"},
    "evaluation.task": {"evaluation.data.picture"},
    "evaluation.tasks": {
        *("evaluation.task", "evaluation.data.picture", "evaluation.measures", "evaluation.predictor"),
        "evaluation.classical",
    },
    "workers.images": {"workers.failures"},
    "workers.outbound": set(),
    "workers.storage": {"workers.failures", "workers.outbound"},
    "workers.gpu": set(),
    "workers.report": {"workers.chunks.lease", "workers.gpu"},
    "workers.testing": set(),
    "workers.pipeline": {
        *("workers.failures", "workers.settings", "workers.images", "workers.storage", "workers.testing"),
    },
    "workers.instant": {
        *("workers.chunks.rows", "workers.failures", "workers.pipeline", "workers.settings", "workers.storage.client"),
        "workers.testing",
    },
    "workers.chunks": {
        *("workers.backoff", "workers.failures", "workers.settings", "workers.pipeline", "workers.storage.client"),
        "workers.testing",
    },
    "workers.dispatcher": {
        *("workers.broker", "workers.backoff", "workers.failures", "workers.shared_settings", "workers.storage.client"),
        *("workers.outbound", "workers.storage.refusals", "workers.testing", "workers.threads"),
    },
}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, `from a import b` as both `a` and `a.b` where that is a module of ours."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = {name for name in inner if (ROOT / Path(*name.split("."))).with_suffix(".py").exists()}
            names |= ours or {node.module}
    return names


def within(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def files(room: str) -> list[Path]:
    place = ROOT / Path(*room.split("."))
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imported(path)
        if name.split(".")[0] in PACKAGES and not within(name, ALLOWED[package])
    }
    assert wrong == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_below_it(room: str) -> None:
    package = room.partition(".")[0]
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imported(path)
        if within(name, {package}) and not within(name, {room} | ROOMS[room])
    }
    assert wrong == set()


@pytest.mark.parametrize("package", ["api", "exports", "workers", "intake", "db", "deploy"])
def test_torch_lives_in_model_alone(package: str) -> None:
    users = [p for p in sorted((ROOT / package).rglob("*.py")) if any(n.split(".")[0] == "torch" for n in imported(p))]
    assert users == []


def test_exports_runs_without_a_web_server() -> None:
    """The API and the dispatcher's side write the same files."""
    code = (
        "import sys, exports.table, exports.pages; sys.exit(bool({'fastapi', 'starlette', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_dispatcher_runs_without_the_workers_extra() -> None:
    code = "import sys, workers.dispatcher.leader; sys.exit(bool({'PIL', 'cv2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_importing_the_others_leaves_torch_out() -> None:
    code = "import sys, api.main, workers.worker, deploy.local.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_client_and_the_service_know_nothing_of_each_other() -> None:
    """They meet over HTTP alone, so that either can be installed without the other."""
    client = {path: {*PACKAGES, "tests"} for path in (ROOT / "client").rglob("*.py")}
    # The engine is no part of the service: it asks it, as any other program.
    service = {path: {"maskworks"} for package in set(PACKAGES) - {"engine"} for path in (ROOT / package).rglob("*.py")}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path, forbidden in (client | service).items()
        for name in imported(path)
        if name.split(".")[0] in forbidden
    }
    assert client and wrong == set()


def test_no_test_imports_another_test() -> None:
    """What tests share is in a conftest or a plain module: a test can be moved or deleted without another's leave."""
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imported(path)
        if any(part.startswith("test_") for part in name.split("."))
    }
    assert wrong == set()
