"""schemathesis over a running service: random requests by its own OpenAPI document, every check on."""

import os
import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("schemathesis.toml")


def fuzz(url: str, key: str, seed: int, *options: str) -> "subprocess.CompletedProcess[str]":
    """Code 0: no answer differed from the document. What it found is in `stdout`."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--checks", "all", "--seed", str(seed), "--no-color"),
        *("--generation-database", "none", "--suppress-health-check", "all", "--continue-on-failure", *options),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
