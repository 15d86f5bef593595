"""The whole service on one machine: stores, migration, bucket, key, API, dispatcher, workers."""

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from botocore.exceptions import ClientError

from deploy.local import services
from deploy.local.children import Command
from deploy.local.errors import ChildFailed, PortTaken, StackError
from deploy.local.folder import DataFolder, write_private
from deploy.local.s3 import s3_client
from deploy.local.stores import Stores, start_stores, stop_stores
from deploy.local.supervisor import Supervisor

BUCKET = "images"
API_SECONDS = 60.0
WORKER_SECONDS = 300.0


@dataclass
class Stack:
    """A running service. `environment` is the full MASKWORKS_ set of its processes."""

    folder: DataFolder
    supervisor: Supervisor
    stores: Stores
    environment: dict[str, str]
    listener: socket.socket
    bucket: str
    api_key: str = ""
    ready: bool = False
    _stopped: dict[str, Command] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        host, port = self.listener.getsockname()
        return f"http://{host}:{port}"

    def client(self, timeout: float = 30) -> httpx.Client:
        """Speaks to the API with the first key."""
        return httpx.Client(base_url=self.api_url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=timeout)

    def pids(self) -> dict[str, int | list[int]]:
        names = self.supervisor.names()
        single = {name: self.supervisor.pid(name) for name in names if not name.startswith("worker-")}
        return {**single, "workers": [self.supervisor.pid(name) for name in names if name not in single]}

    def description(self) -> dict[str, object]:
        """What stack.json holds."""
        return {
            "api_url": self.api_url,
            "api_key": self.api_key,
            "s3": {
                "endpoint_url": self.stores.s3.endpoint_url,
                "access_key": self.stores.s3.access_key,
                "secret_key": self.stores.s3.secret_key,
                "region": self.stores.s3.region,
                "bucket": self.bucket,
            },
            "database_url": self.stores.database_url,
            "redis_url": self.stores.redis_url,
            "pids": self.pids(),
            "env": self.environment,
        }

    def write(self) -> None:
        """Write stack.json. Called again after each restart, because pids change."""
        if self.ready:
            write_private(self.folder.stack_file, json.dumps(self.description(), indent=1))

    def stop_child(self, name: str, hurry: bool = False) -> None:
        """End one program until `start_child`. `hurry` is SIGKILL."""
        self._stopped[name] = self.supervisor.command(name)
        self.supervisor.stop(name, hurry)

    def start_child(self, name: str) -> None:
        """Start what `stop_child` ended, exactly as it was. Does not wait until it is ready."""
        self.supervisor.start(self._stopped.pop(name))
        self.supervisor.keep(name)
        self.write()

    def add_worker(self, extra: Mapping[str, str] | None = None, keep: bool = True) -> str:
        """Start one more worker, with settings of its own. Returns its name."""
        number = 1
        while f"worker-{number}" in (*self.supervisor.names(), *self._stopped):
            number += 1
        command = services.worker(self.folder, {**self.environment, **(extra or {})}, number)
        self.supervisor.start(command)
        if keep:
            self.supervisor.keep(command.name)
        self.write()
        return command.name


def _silent(step: str) -> None:
    """Say nothing."""


@contextmanager
def stack(
    data: Path,
    workers: int = 1,
    models: str | None = None,
    env: Mapping[str, str] | None = None,
    port: int = 0,
    fast: bool = False,
    say: Callable[[str], None] = _silent,
) -> Iterator[Stack]:
    """Run everything over a data folder until the block ends; ready when the block begins.

    `models` defaults to MASKWORKS_MODELS, else `sam_tiny`. `env` adds MASKWORKS_ settings, which win. `port` 0 is any
    free one. `fast` gives up durability, for tests. `say` is called as each step begins.
    Raises StackError, also when a program died too often during the block.
    """
    folder = DataFolder(data)
    with folder.locked(), _listener(port) as listener:
        running: list[Stack] = []
        supervisor = Supervisor(changed=lambda: _write_all(running))
        try:
            say("starting Postgres, Redis and S3")
            stores = start_stores(folder, supervisor, fast)
            if (cluster := folder.path / "postgres").is_symlink():
                say(f"keeping the database in {cluster.resolve()}, because its account cannot enter {folder.path}")
            started = Stack(
                folder, supervisor, stores, _settings(folder, stores, workers, models, env), listener, BUCKET
            )
            running.append(started)
            _start_services(started, workers, say)
            yield started
            supervisor.wait_for_failure(0)
        finally:
            folder.stack_file.unlink(missing_ok=True)
            _stop(supervisor, say)


def _write_all(running: list[Stack]) -> None:
    for each in running:
        each.write()


def _settings(
    folder: DataFolder, stores: Stores, workers: int, models: str | None, env: Mapping[str, str] | None
) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name.startswith("MASKWORKS_")}
    cores = len(os.sched_getaffinity(0))
    defaults = {"MASKWORKS_MODELS": "sam_tiny", "MASKWORKS_BUCKETS": BUCKET, "MASKWORKS_OUTPUT_BUCKETS": BUCKET}
    if BUCKET in given.get("MASKWORKS_BUCKETS", BUCKET).split(","):
        defaults["MASKWORKS_UPLOAD_PREFIX"] = f"s3://{BUCKET}/uploads/"
    if workers > 1:
        defaults["MASKWORKS_THREADS"] = str(max(1, cores // workers))
    wired = {**stores.environment(), "MASKWORKS_KEY_PEPPER": folder.secrets()["key_pepper"]}
    chosen = {"MASKWORKS_MODELS": models} if models else {}
    return {**defaults, **given, **wired, **chosen, **(env or {})}


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    """The API's socket, bound for as long as the stack lives."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError as error:
            raise PortTaken(_port_error(port, error)) from error
        yield listener


def _port_error(port: int, error: OSError) -> str:
    why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
    return f"Port {port} {why}. Choose another with PORT=…"


def _start_services(stack: Stack, workers: int, say: Callable[[str], None]) -> None:
    services.check(stack.environment)
    say("bringing the database up to date")
    services.migrate(stack.folder, stack.environment)
    _make_bucket(stack)
    stack.api_key = _first_key(stack)
    say("starting the API, the dispatcher and " + ("1 worker" if workers == 1 else f"{workers} workers"))
    commands = [
        services.api(stack.folder, stack.environment, stack.listener.fileno()),
        services.dispatcher(stack.folder, stack.environment),
        *(services.worker(stack.folder, stack.environment, number) for number in range(1, workers + 1)),
    ]
    for command in commands:
        stack.supervisor.start(command)
    with stack.client() as client:  # one, because to make one takes longer than to ask
        _wait(stack, commands, lambda: _api_ready(client), "The API", API_SECONDS)
        if workers:
            say(f"loading {stack.environment['MASKWORKS_MODELS']}")
            wanted = set(stack.environment["MASKWORKS_MODELS"].split(","))
            _wait(stack, commands, lambda: _loaded(client) >= wanted, "The model", WORKER_SECONDS)
    for command in commands:
        stack.supervisor.keep(command.name)
    stack.ready = True
    stack.write()


def _stop(supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """Stop workers first, then the dispatcher and the API, and the stores last."""
    say("stopping")
    supervisor.let_die()
    names = supervisor.names()
    supervisor.stop_together([name for name in names if name.startswith("worker-")])
    supervisor.stop("dispatcher")
    supervisor.stop("api")
    stop_stores(supervisor)
    supervisor.close()


def _make_bucket(stack: Stack) -> None:
    access = stack.stores.s3
    client = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    try:
        client.create_bucket(Bucket=stack.bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
            raise StackError(f"The bucket {stack.bucket!r} cannot be created: {error}") from error
    finally:
        client.close()


def _first_key(stack: Stack) -> str:
    known = stack.folder.secrets()
    if "api_key" not in known:
        known["api_key"] = services.create_key(stack.folder, stack.environment)
        stack.folder.write_secrets(known)
    return known["api_key"]


def _wait(stack: Stack, commands: list[Command], is_ready: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until ready. Raises ChildFailed with the log of a program that ends meanwhile, or takes too long."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        for command in commands:
            code = stack.supervisor.exit_code(command.name)
            if code is not None:
                raise ChildFailed(f"{command.name} ended with exit code {code} while it started.", command.log)
        stack.supervisor.wait_for_failure(0.1)
        if time.monotonic() > deadline:
            raise ChildFailed(f"{what} is not ready after {seconds:.0f} seconds.", commands[-1].log)


def _api_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _loaded(client: httpx.Client) -> set[str]:
    """The models that a worker has in memory, as the API sees it."""
    answer = client.get("/v1/models")
    if answer.status_code != httpx.codes.OK:
        raise StackError(f"GET /v1/models answered {answer.status_code}: {answer.text}")
    return {model["name"] for model in answer.json()["models"] if model["loaded"]}
