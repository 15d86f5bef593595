"""schemathesis over a running service: random requests by its own OpenAPI document, every check on."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = Path(__file__).with_name("schemathesis.toml")


def fuzz(url: str, key: str, seed: int, *options: str, job_id: str = "") -> "subprocess.CompletedProcess[str]":
    """Code 0: no answer differed from the document. What it found is in `stdout`.

    A random job id names no job. With `job_id`, a job that is done, every read is of that job, and nothing is written.
    Without it the events of jobs are left out: a stream lasts until its job is done.
    """
    if job_id:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'[parameters]\n"path.job_id" = "{job_id}"\n"path.item_id" = "0"\n{CONFIG.read_text()}')
            config.flush()
            return _run(config.name, url, key, seed, "--include-method=GET", *options)
    return _run(str(CONFIG), url, key, seed, "--exclude-path-regex=/events$", *options)


def _run(config: str, url: str, key: str, seed: int, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--checks", "all", "--seed", str(seed), "--no-color"),
        *("--generation-database", "none", "--suppress-health-check", "all", "--continue-on-failure", *options),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
