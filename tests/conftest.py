"""Fixtures on real stores. Ask for what you need; nothing starts otherwise.

stores           session   Postgres, Redis and S3 as processes (`deploy.local.stores.Stores`)
new_database     session   callable () -> URL of a migrated, empty database
database         function  URL (`postgresql+psycopg://…`) of a migrated, empty database of its own
module_database  module    the same, shared by a module's tests
redis_url        function  URL of a flushed Redis
s3_client        session   a boto3 client of the S3 server
bucket           function  a fresh bucket: `.name`, `.client`, `.put(key, bytes) -> "s3://…"`
settings_env     function  dict of MASKWORKS_* for the three above, models `null`, device `cpu`
"""

import gc
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.loaders
import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy import make_url

from db.migrate import migrate
from deploy.local.postgres import API_ROLE
from deploy.local.s3 import s3_client as connect_s3
from deploy.local.stores import Stores
from deploy.local.stores import stores as run_stores
from tests.folders import new_folder
from tests.units import Units, rank

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# For torch, here and in the processes that tests start: several run at a time, and a second thread would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts `pytest … &` with SIGINT ignored. The processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
TEMPLATE = "maskworks_template"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Units | None:
    return Units(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Keep the modules and the thousands of tests out of every later garbage collection. Each took 0.4 s with them."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Bucket:
    name: str
    client: "S3Client"

    def put(self, key: str, content: bytes) -> str:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)
        return f"s3://{self.name}/{key}"


@pytest.fixture(scope="session", autouse=True)
def _boto3_reads_its_data_once() -> Iterator[None]:
    """Otherwise each session of boto3 parses the same files again: 0.1 s for each of hundreds of clients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(botocore.loaders.create_loader))
        yield


@pytest.fixture(scope="session")
def passable_folder() -> Iterator[Path]:
    with new_folder("maskworks-test-") as folder:
        yield folder


@pytest.fixture(scope="session")
def stores(passable_folder: Path) -> Iterator[Stores]:
    with run_stores(passable_folder / "stores", fast=True) as running:
        yield running


@pytest.fixture(scope="session")
def new_database(stores: Stores) -> Callable[[], str]:
    """Copies of a template that was migrated once: some 50 ms each. Nobody drops them: they go with the server."""
    _create_database(stores, TEMPLATE, "template1")
    migrate(_named(stores.database_url, TEMPLATE), API_ROLE)

    def create() -> str:
        name = f"test_{uuid.uuid4().hex}"
        _create_database(stores, name, TEMPLATE)
        return _named(stores.database_url, name)

    return create


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def module_database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def redis_url(stores: Stores) -> str:
    with redis.Redis.from_url(stores.redis_url) as client:
        client.flushall()
    return stores.redis_url


@pytest.fixture(scope="session")
def s3_client(stores: Stores) -> "Iterator[S3Client]":
    client = connect_s3(stores.s3.endpoint_url, stores.s3.access_key, stores.s3.secret_key)
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client: "S3Client") -> Bucket:
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return Bucket(name, s3_client)


@pytest.fixture
def settings_env(stores: Stores, database: str, redis_url: str, bucket: Bucket) -> dict[str, str]:
    return {
        **stores.environment(),
        "MASKWORKS_DATABASE_URL": database,
        "MASKWORKS_REDIS_URL": redis_url,
        "MASKWORKS_BUCKETS": bucket.name,
        "MASKWORKS_KEY_PEPPER": "a pepper for tests only, 32 octets long",
        "MASKWORKS_MODELS": "null",
        "MASKWORKS_DEVICE": "cpu",
    }


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _superuser(stores: Stores) -> "psycopg.Connection[tuple[object, ...]]":
    url = _named(stores.superuser_url, "postgres").replace("+psycopg", "", 1)
    return psycopg.connect(url, autocommit=True)


def _create_database(stores: Stores, name: str, template: str) -> None:
    with _superuser(stores) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER maskworks").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
