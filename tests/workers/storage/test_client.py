"""What the one S3 client honours: our settings, and for what they leave open everything that boto3 does."""

import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bucket
from tests.workers import hostile_s3
from tests.workers.hostile_s3 import send
from workers.settings import Settings
from workers.storage.client import download, s3_client


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of S3 and none of AWS but keys; the file returned is the AWS configuration, still empty."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MASKWORKS_S3_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASKWORKS_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1/none")
    monkeypatch.setenv("MASKWORKS_REDIS_URL", "redis://127.0.0.1/0")
    monkeypatch.setenv("MASKWORKS_BUCKETS", "b")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    config = tmp_path / "config"
    config.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return config


class Asked(Exception):
    """A request stopped before it was sent."""


def address(bucket: str = "images") -> str:
    """Where an object is asked for."""

    def stop(request: Any, **_: object) -> None:
        raise Asked(request.url)

    client = s3_client(Settings())
    client.meta.events.register("before-send.s3.GetObject", stop)
    with pytest.raises(Asked) as asked:
        client.get_object(Bucket=bucket, Key="k")
    return str(asked.value)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "https://images.s3.amazonaws.com/k"),
        ({"AWS_REGION": "eu-west-1"}, "https://images.s3.eu-west-1.amazonaws.com/k"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://images.s3.eu-west-1.amazonaws.com/k"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "sa-east-1"}, "https://images.s3.eu-west-1.amazonaws.com/k"),
        (
            {"MASKWORKS_S3_REGION": "ap-south-1", "AWS_REGION": "eu-west-1"},
            "https://images.s3.ap-south-1.amazonaws.com/k",
        ),
        ({"AWS_REGION": "cn-north-1"}, "https://images.s3.cn-north-1.amazonaws.com.cn/k"),
        ({"MASKWORKS_S3_REGION": "us-iso-east-1"}, "https://images.s3.us-iso-east-1.c2s.ic.gov/k"),
        ({"MASKWORKS_S3_REGION": "us-isob-east-1"}, "https://images.s3.us-isob-east-1.sc2s.sgov.gov/k"),
        ({"AWS_REGION": "us-gov-west-1"}, "https://images.s3.us-gov-west-1.amazonaws.com/k"),
        (
            {"AWS_REGION": "us-east-2", "AWS_USE_FIPS_ENDPOINT": "true"},
            "https://images.s3-fips.us-east-2.amazonaws.com/k",
        ),
        (
            {"AWS_REGION": "us-east-2", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "https://images.s3.dualstack.us-east-2.amazonaws.com/k",
        ),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, "http://minio:9000/images/k"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3:9000", "AWS_ENDPOINT_URL": "http://other"}, "http://s3:9000/images/k"),
        ({"MASKWORKS_S3_ENDPOINT_URL": "http://ours", "AWS_ENDPOINT_URL_S3": "http://other"}, "http://ours/images/k"),
        (
            {"MASKWORKS_S3_ENDPOINT_URL": "http://ours", "MASKWORKS_S3_ADDRESSING_STYLE": "virtual"},
            "http://images.ours/k",
        ),
        (
            {"AWS_REGION": "us-east-2", "MASKWORKS_S3_ADDRESSING_STYLE": "path"},
            "https://s3.us-east-2.amazonaws.com/images/k",
        ),
        (
            {"AWS_REGION": "us-east-2", "MASKWORKS_S3_ADDRESSING_STYLE": "auto"},
            "https://images.s3.us-east-2.amazonaws.com/k",
        ),
    ],
)
def test_where_objects_are_asked_for(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: str) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert address() == expected


@pytest.mark.usefixtures("bare")
def test_a_dotted_bucket_is_addressed_by_path_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert address("a.b") == "https://s3.us-east-2.amazonaws.com/a.b/k"


def test_the_profile_is_honoured(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.write_text(
        "[profile away]\nregion = eu-north-1\nendpoint_url = http://of-the-profile\n"
        "aws_access_key_id = theirs\naws_secret_access_key = secret\ns3 =\n  addressing_style = virtual\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "away")
    assert address() == "http://images.of-the-profile/k"
    client = s3_client(Settings())
    assert client.meta.region_name == "eu-north-1" and "theirs" in client.generate_presigned_url("list_buckets")


@pytest.mark.usefixtures("bare")
def test_requester_pays_is_said_for_listing_and_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile_s3.hostile_s3() as server:
        monkeypatch.setenv("MASKWORKS_S3_ENDPOINT_URL", server.url)
        monkeypatch.setenv("MASKWORKS_S3_REQUESTER_PAYS", "true")
        server.answer = lambda connection, head: send(
            connection, b'<?xml version="1.0"?><ListBucketResult/>' if "list-type" in head else b"x"
        )
        client = s3_client(Settings())
        client.list_objects_v2(Bucket="b")
        client.get_object(Bucket="b", Key="k")
        client.head_object(Bucket="b", Key="k")
        assert ["x-amz-request-payer: requester" in head.lower() for head in server.heads] == [True] * 3
        monkeypatch.delenv("MASKWORKS_S3_REQUESTER_PAYS")
        s3_client(Settings()).get_object(Bucket="b", Key="k")
        assert "x-amz-request-payer" not in server.heads[-1].lower()


@pytest.mark.usefixtures("bare")
def test_unsigned_listing_and_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile_s3.hostile_s3() as server:
        monkeypatch.setenv("MASKWORKS_S3_ENDPOINT_URL", server.url)
        server.answer = lambda connection, head: send(
            connection, b'<?xml version="1.0"?><ListBucketResult/>' if "list-type" in head else b"x"
        )
        for unsigned in ("true", "false"):
            monkeypatch.setenv("MASKWORKS_S3_UNSIGNED", unsigned)
            client = s3_client(Settings())
            client.list_objects_v2(Bucket="b")
            client.get_object(Bucket="b", Key="k")
        assert ["authorization:" in head.lower() for head in server.heads] == [False, False, True, True]


READ = """
import sys
from workers.storage.reading import Objects
from workers.settings import Settings
from workers.storage.client import s3_client
settings = Settings()
client = s3_client(settings)
print(client.list_objects_v2(Bucket="b")["KeyCount"])
sys.stdout.write(Objects(client, settings).open("s3://b/k").read().decode())
"""


def read_elsewhere(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """List a bucket and read an object in a process with this environment besides the test's."""
    return subprocess.run(
        [sys.executable, "-c", READ], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def _listing_or_object(connection: Any, head: str) -> None:
    listing = b'<?xml version="1.0"?><ListBucketResult><KeyCount>7</KeyCount></ListBucketResult>'
    send(connection, listing if "list-type" in head else b"through")


@pytest.mark.usefixtures("bare")
def test_a_proxy_is_used_for_listing_and_reading() -> None:
    with hostile_s3.hostile_s3() as proxy:
        proxy.answer = _listing_or_object
        env = {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "NO_PROXY": "", "no_proxy": ""}
        done = read_elsewhere({**env, "AWS_ENDPOINT_URL_S3": "http://s3.example.invalid"})
        assert done.stdout == "7\nthrough", done.stderr
        assert [head.split(" ")[1].partition("?")[0] for head in proxy.heads] == [
            "http://s3.example.invalid/b",
            "http://s3.example.invalid/b/k",
        ]


@pytest.mark.usefixtures("bare")
def test_a_ca_bundle_is_used_for_listing_and_reading(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    key = tmp_path / "key.pem"
    make_certificate(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with hostile_s3.hostile_s3(context) as server:
        server.answer = _listing_or_object
        url = server.url.replace("http://", "https://")
        trusted = read_elsewhere({"AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": str(certificate)})
        assert trusted.stdout == "7\nthrough", trusted.stderr
        assert "SSLError" in read_elsewhere({"AWS_ENDPOINT_URL": url}).stderr


def make_certificate(certificate: Path, key: Path) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)


def test_a_checkpoint_of_several_parts_is_downloaded(settings: Settings, bucket: Bucket, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80_000  # above the size from which boto3 reads in parts
    uri = bucket.put("weights.pth", content)
    download(s3_client(settings), uri, tmp_path / "weights.pth")
    assert (tmp_path / "weights.pth").read_bytes() == content


def test_a_checkpoint_that_is_not_there(settings: Settings, bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"s3://{bucket.name}/none.pth: .*404"):
        download(s3_client(settings), f"s3://{bucket.name}/none.pth", tmp_path / "weights.pth")
