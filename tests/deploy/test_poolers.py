"""The whole service behind a real PgBouncer, in both modes that docs/deployment.md promises."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
from PIL import Image
from sqlalchemy import make_url

from db.migrate import migrate
from deploy.local import services
from deploy.local.s3 import s3_client
from deploy.local.stack import Stack, stack

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


@contextmanager
def _bouncer(folder: Path, database_url: str, mode: str) -> Iterator[str]:
    """A PgBouncer with its own small pool before a database. Gives the URL through it."""
    url = make_url(database_url)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    folder.mkdir()
    (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{url.database} = host={url.host} port={url.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = {mode}\n"
        f"default_pool_size = {40 if mode == 'session' else 3}\nlogfile = {folder}/log\n"
    )
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("nobody").pw_uid
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, -1)
    process = subprocess.Popen(
        [str(PGBOUNCER), "-q", str(folder / "pgbouncer.ini")], user=user, stderr=subprocess.DEVNULL
    )
    try:
        through = url.set(host="127.0.0.1", port=port, drivername="postgresql").render_as_string(hide_password=False)
        _wait_for(through)
        yield through + ("?pool_mode=transaction" if mode == "transaction" else "")
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("PgBouncer does not answer")


def _move_behind(running: Stack, url: str) -> None:
    """Start API, dispatcher and worker again with another database URL."""
    environment = {**running.environment, "MASKWORKS_DATABASE_URL": url}
    for name in ("worker-1", "dispatcher", "api"):
        running.supervisor.stop(name)
    for command in (
        services.api(running.folder, environment, running.listener.fileno()),
        services.dispatcher(running.folder, environment),
        services.worker(running.folder, environment, 1),
    ):
        running.supervisor.start(command)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_jobs_run_behind_a_pooler(passable_folder: Path, mode: str) -> None:
    with (
        stack(passable_folder / f"pooled-{mode}", models="null", fast=True) as running,
        _bouncer(passable_folder / f"bouncer-{mode}", running.stores.database_url, mode) as url,
    ):
        _move_behind(running, url)
        _put(running, 30)
        with running.client(timeout=70) as client:
            body = {"task": {"type": "auto"}, "input": {"prefix": f"s3://{running.bucket}/p/"}}
            for _ in range(3):
                job = client.post("/v1/jobs", json=body).raise_for_status().json()
                done = job
                while not done["done"]:  # the test's own timeout ends it
                    done = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).raise_for_status().json()
                assert (done["state"], done["counts"]["succeeded"]) == ("succeeded", 30)
                for _ in range(10):  # more often than a statement is left unprepared
                    assert client.get(f"/v1/jobs/{job['id']}/items").status_code == 200
        for name in ("api", "dispatcher", "worker-1"):
            assert running.supervisor.exit_code(name) is None
            log = (running.folder.logs / f"{name}.log").read_text()
            assert "prepared statement" not in log and "Traceback" not in log, log
        for name in ("worker-1", "dispatcher", "api"):  # before their database goes
            running.supervisor.stop(name)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_migrations_run_behind_a_pooler(passable_folder: Path, database: str, mode: str) -> None:
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    with _bouncer(passable_folder / f"migrating-{mode}", database, mode) as url:
        migrate(url)
        migrate(url)


def _put(running: Stack, number: int) -> None:
    picture = BytesIO()
    Image.new("RGB", (32, 32), "teal").save(picture, "PNG")
    access = running.stores.s3
    client = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    for n in range(number):
        client.put_object(Bucket=running.bucket, Key=f"p/{n}.png", Body=picture.getvalue())
    client.close()
