"""The data folder of a local stack: its files, its lock, its secrets.

DATA/lock          held (flock) by the running supervisor; holds its pid
DATA/secrets.json  generated passwords and the first API key, mode 0600
DATA/stack.json    where everything is, while it is ready; mode 0600
DATA/logs/         one file for each program; that of the previous run is NAME.log.old
DATA/postgres/  DATA/redis/  DATA/s3/
DATA/postgres may be a link, and DATA/postgres-programs-* a copy of Postgres: see `deploy.local.refuge`
"""

import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import refuge
from deploy.local.errors import AlreadyRunning, NotRunning, StackError

DEFAULT = ".maskworks"
OURS = ("lock", "secrets.json", "stack.json", "logs", "postgres", "postgres.new", "redis", "s3", "demo")
SECRETS = ("postgres_superuser", "postgres_application", "redis", "s3_access", "s3_secret", "key_pepper")


class DataFolder:
    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        # What has to follow a `make` command so that it uses this folder.
        self.words = "" if self.path == Path(DEFAULT).resolve() else f" DATA={shlex.quote(str(self.path))}"
        self.logs = self.path / "logs"
        self.stack_file = self.path / "stack.json"
        self._lock_file = self.path / "lock"
        self._secrets_file = self.path / "secrets.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder. The kernel releases the lock when the holder dies."""
        self._create()
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            self.stack_file.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The pid of the running supervisor, or None. Only the lock counts, so a stale pid is never returned."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(descriptor, 32, 0) or b"0") or None
        finally:
            os.close(descriptor)
        return None

    def end_holder(self, patience: float = 90.0) -> int:
        """Ask the running supervisor to stop and wait until it has. Returns its pid."""
        pid = self.holder()
        if pid is None:
            raise NotRunning(f"No stack runs in {self.path}.")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self.holder() == pid:
            if time.monotonic() > deadline:
                raise StackError(f"The stack (pid {pid}) has not stopped after {patience:.0f} seconds.")
            time.sleep(0.1)
        return pid

    def forget(self) -> None:
        """Delete what a stack has put here, and the folder if nothing else is in it."""
        if pid := self.holder():
            raise AlreadyRunning(f"A stack runs in {self.path} (pid {pid}). Stop it with `make down{self.words}`.")
        for cluster in (self.path / "postgres", self.path / "demo" / "postgres"):
            if cluster.is_symlink():
                refuge.forget(cluster)
        for path in (*(self.path / name for name in OURS), *self.path.glob(f"{refuge.PROGRAMS}*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def secrets(self) -> dict[str, str]:
        """Generate the secrets at the first call, and read them later. They go into URLs: letters and digits only."""
        known: dict[str, str] = {}
        if self._secrets_file.exists():
            known = json.loads(self._secrets_file.read_text())
        missing = [name for name in SECRETS if name not in known]
        if missing:
            known |= {name: secrets.token_hex(20) for name in missing}
            self.write_secrets(known)
        return known

    def write_secrets(self, values: dict[str, str]) -> None:
        write_private(self._secrets_file, json.dumps(values, indent=1))

    def new_log(self, name: str) -> Path:
        """An empty log. The log of the previous run becomes NAME.log.old."""
        log = self.logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.old"))
        log.touch(mode=0o600)
        return log

    def _create(self) -> None:
        try:
            for folder in reversed([self.path, *self.path.parents]):
                if not folder.exists():
                    folder.mkdir()
                    # As root, Postgres runs as another account, which has to pass through. Secrets are 0600.
                    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be the data folder: {error.strerror}. Choose another with DATA=…"
            ) from error

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode() or "?"
            raise AlreadyRunning(
                f"A stack already runs in {self.path} (pid {pid}). Stop it with `make down{self.words}`."
            ) from None


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step. Only its owner can ever read it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
