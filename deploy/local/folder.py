"""The data folder: everything an embedded stack keeps, the lock that makes it one stack's, its secrets.

DATA/lock          held (flock) by the running supervisor; its pid stands inside
DATA/secrets.json  generated passwords and the first API key, mode 0600
DATA/stack.json    where everything is, while it is ready; mode 0600
DATA/logs/         one file a program, the previous run's beside it as NAME.log.old
DATA/postgres/  DATA/redis/  DATA/s3/
DATA/postgres may be a link, and DATA/postgres-programs-* a copy of Postgres: see deploy.local.refuge
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
        # What `make` has to be told so that it means this folder.
        self.words = "" if self.path == Path(DEFAULT).resolve() else f" DATA={shlex.quote(str(self.path))}"
        self.logs = self.path / "logs"
        self.stack_file = self.path / "stack.json"
        self._lock_file = self.path / "lock"
        self._secrets_file = self.path / "secrets.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder. The kernel lets go of the lock when the holder dies, however it dies."""
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
        """The running supervisor's pid, or None. A stale pid is never returned: only the lock counts."""
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
            raise NotRunning(f"no stack is running over {self.path}")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self.holder() == pid:
            if time.monotonic() > deadline:
                raise StackError(f"the stack (pid {pid}) has not stopped after {patience:.0f} s")
            time.sleep(0.1)
        return pid

    def forget(self) -> None:
        """Delete what a stack put here, and the folder if nothing else is in it."""
        if pid := self.holder():
            raise AlreadyRunning(f"a stack is running over {self.path} (pid {pid}); `make down{self.words}` stops it")
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
        """Generated at the first call, the same ever after. Letters and digits only: they go into URLs."""
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
        """An empty log; the previous run's is kept as NAME.log.old."""
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
                    # As root, Postgres runs as somebody else and has to pass through; secrets are 0600.
                    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(f"cannot use {self.path} as data folder: {error.strerror}") from error

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode() or "?"
            raise AlreadyRunning(
                f"a stack is already running over {self.path} (pid {pid}); `make down{self.words}` stops it"
            ) from None


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; nobody but its owner can read it, at no moment."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
