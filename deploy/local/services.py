"""Our own programs as commands: migration, keys, API, dispatcher, workers. Starts nothing by itself."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import deploy
from api.settings import Settings as ApiSettings
from db.configuration import ConfigurationError, read_settings
from deploy.local.children import Command, run_to_end
from deploy.local.errors import ChildFailed, Misconfigured, tail
from deploy.local.folder import DataFolder
from model.errors import ModelError
from workers.dispatcher.settings import Settings as DispatcherSettings
from workers.pipeline.models import check_weights
from workers.settings import Settings as WorkerSettings

ROOT = Path(deploy.__file__).parent.parent
TOOL_SECONDS = 120.0
_WORKER_NICE = 10
"""A worker uses every core for hours. The API and the stores need little, and get it first."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with these MASKWORKS_ settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MASKWORKS_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **settings}


def check(settings: Mapping[str, str]) -> None:
    """Read the settings as our programs will. Raises Misconfigured for what they would refuse."""
    try:
        read_settings(ApiSettings, settings)
        read_settings(DispatcherSettings, settings)
        check_weights(read_settings(WorkerSettings, settings))
    except (ConfigurationError, ModelError) as error:
        raise Misconfigured(str(error)) from error


def migrate(folder: DataFolder, settings: Mapping[str, str]) -> None:
    _run("migrate", ("db.migrate",), folder, settings)


def create_key(folder: DataFolder, settings: Mapping[str, str]) -> str:
    """A new API key. It is the only line that the program prints."""
    log = _run("keys", ("db.keys", "create", "--name", "local"), folder, settings)
    key = tail(log, 1).strip()
    log.unlink()  # it holds the key
    if not key:
        raise ChildFailed("`python -m db.keys create` printed no key.", log)
    return key


def api(folder: DataFolder, settings: Mapping[str, str], descriptor: int) -> Command:
    """Serves on the supervisor's socket, so that a restart cannot lose the port."""
    words = ("api.server", "--fd", str(descriptor), "--shutdown-seconds", "3")
    return Command(
        name="api",
        argv=(sys.executable, "-m", *words),
        log=folder.new_log("api"),
        cwd=ROOT,
        environment=environment(settings),
        ending=((signal.SIGTERM, 8.0),),
        descriptors=(descriptor,),
    )


def dispatcher(folder: DataFolder, settings: Mapping[str, str]) -> Command:
    return Command(
        name="dispatcher",
        argv=(sys.executable, "-m", "workers.dispatcher"),
        log=folder.new_log("dispatcher"),
        cwd=ROOT,
        environment=environment(settings),
    )


def worker(folder: DataFolder, settings: Mapping[str, str], number: int) -> Command:
    name = f"worker-{number}"
    # Workers do not need to know each other. Looking for neighbours costs a second at the start.
    words = ("celery", "-A", "workers.main", "worker", "-n", f"{name}@%h", "-l", "INFO")
    return Command(
        name=name,
        argv=(sys.executable, "-m", *words, "--without-gossip", "--without-mingle"),
        log=folder.new_log(name),
        cwd=ROOT,
        environment=environment(settings),
        ending=((signal.SIGTERM, 20.0),),
        nice=_WORKER_NICE,
    )


def _run(name: str, words: tuple[str, ...], folder: DataFolder, settings: Mapping[str, str]) -> Path:
    argv = (sys.executable, "-m", *words)
    command = Command(name, argv, folder.new_log(name), ROOT, environment(settings))
    code = run_to_end(command, TOOL_SECONDS)
    if code != 0:
        raise ChildFailed(f"`python -m {' '.join(words)}` ended with exit code {code}.", command.log)
    return command.log
