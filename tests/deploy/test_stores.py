"""The embedded Postgres, Redis and S3, as their clients meet them."""

from collections.abc import Callable

import psycopg
import pytest
import redis
from botocore.exceptions import ClientError

from deploy.local.s3 import s3_client as connect_s3
from deploy.local.stores import Stores
from tests.conftest import Bucket


def _connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("+psycopg", "", 1))


def test_the_application_owns_its_database_and_is_no_superuser(stores: Stores) -> None:
    with _connect(stores.database_url) as connection:
        row = connection.execute(
            "SELECT usesuper, datdba = usesysid FROM pg_user, pg_database"
            " WHERE usename = current_user AND datname = current_database()"
        ).fetchone()
    assert row == (False, True)


def test_postgres_wants_a_password_and_listens_on_loopback_alone(stores: Stores) -> None:
    with _connect(stores.superuser_url) as connection:
        settings = {
            str(name): str(value)
            for name, value in connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN"
                " ('listen_addresses', 'unix_socket_directories', 'password_encryption')"
            ).fetchall()
        }
        methods = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
    assert settings == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
    }
    assert methods == [("scram-sha-256",)]


def test_databases_are_migrated_and_apart(new_database: Callable[[], str]) -> None:
    first, second = new_database(), new_database()
    with _connect(first) as connection:
        connection.execute("CREATE TABLE only_here (n int)")
    with _connect(second) as connection:
        found = connection.execute("SELECT to_regclass('only_here'), to_regclass('jobs') IS NOT NULL")
        assert found.fetchone() == (None, True)


def test_redis_refuses_strangers_and_never_evicts(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        settings = client.config_get("*")
    assert settings["bind"] == "127.0.0.1"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["appendonly"] == "yes"
    stranger = redis.Redis.from_url("redis://" + redis_url.split("@")[1])
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_s3_keeps_objects_and_refuses_a_wrong_secret(stores: Stores, bucket: Bucket) -> None:
    assert bucket.put("a folder/picture.bin", b"12345") == f"s3://{bucket.name}/a folder/picture.bin"
    found = bucket.client.get_object(Bucket=bucket.name, Key="a folder/picture.bin")
    assert found["Body"].read() == b"12345"
    stranger = connect_s3(stores.s3.endpoint_url, stores.s3.access_key, "wrong")
    with pytest.raises(ClientError) as refusal:
        stranger.list_buckets()
    assert refusal.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
