"""GET of one S3 object with as little as that takes: a signature (AWS version 4) and a pooled connection.

boto3's `get_object` costs 2 ms of Python an object, half of what a worker spends on a small image; this a tenth.
Whatever is not a plain answer (redirects to another region, odd keys) is left to the boto3 client.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import boto3
from botocore.exceptions import ClientError, NoCredentialsError

from workers.http_get import Connections, Origin
from workers.settings import Settings

_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_DOTTED: Final = re.compile(r"(^|/)\.{0,2}(/|$)")
"""Keys whose path an HTTP client would tidy up."""
_BUCKET: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Buckets that can stand in a path and in a host name; a dot would not match the certificate of S3's names."""
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MAX_ERROR_BYTES: Final = 16_384


class SignedGet:
    """Answers `get_object(Bucket=, Key=)` as the client does: a dict of `Body` and `ContentLength`, or ClientError."""

    def __init__(self, settings: Settings, client: Any) -> None:
        self._client = client
        self._region = settings.s3_region
        self._endpoint = None if settings.s3_endpoint_url is None else _endpoint(settings.s3_endpoint_url)
        self._credentials = boto3.Session(settings.s3_access_key, settings.s3_secret_key).get_credentials()
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")
        self._connections = Connections(most=2 * settings.fetch_threads)

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, Any]:
        """Raises ClientError, NoCredentialsError, OSError."""
        if self._credentials is None:
            raise NoCredentialsError
        if _DOTTED.search(Key) or not _BUCKET.fullmatch(Bucket):
            return self._by_client(Bucket, Key)
        host, origin, path = self._place(Bucket, quote(Key, safe="/-_.~"))
        answer = self._connections.get(origin, path, self._headers(host, path))
        if answer.status == 200 and answer.length is not None:
            return {"Body": answer, "ContentLength": answer.length}
        with answer:
            body = answer.read(_MAX_ERROR_BYTES)
        code = _CODE.search(body)
        if answer.status in (403, 404, 500, 503) and code is not None:
            error = {"Error": {"Code": code[1].decode(), "Message": f"HTTP status {answer.status}"}}
            raise ClientError(error, "GetObject")  # type: ignore[arg-type]
        return self._by_client(Bucket, Key)

    def close(self) -> None:
        self._connections.close()

    def _by_client(self, bucket: str, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._client.get_object(Bucket=bucket, Key=key)
        return found

    def _place(self, bucket: str, path: str) -> tuple[str, Origin, str]:
        """The `host` header, whom to connect to, and the path asked for."""
        if self._endpoint is not None:
            host, origin, prefix = self._endpoint
            return host, origin, f"{prefix}/{bucket}/{path}"
        host = f"{bucket}.s3.{self._region}.amazonaws.com"
        return host, Origin(True, host, 443), f"/{path}"

    def _headers(self, host: str, path: str) -> dict[str, str]:
        """The four or five headers of a signed request without a body."""
        assert self._credentials is not None
        credentials = self._credentials.get_frozen_credentials()
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": at}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        signed = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"GET\n{path}\n\n{lines}\n{signed}\n{_EMPTY_SHA256}"
        scope = f"{at[:8]}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = self._signing_key(credentials.secret_key or "", at[:8])
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        credential = f"Credential={credentials.access_key}/{scope}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature={signature}"
        return headers

    def _signing_key(self, secret: str, day: str) -> bytes:
        """Good for a day; kept together with what it was made of."""
        made_of, key = self._key
        if made_of != (secret, day):
            key = f"AWS4{secret}".encode()
            for word in (day, self._region, "s3", "aws4_request"):
                key = hmac.new(key, word.encode(), "sha256").digest()
            self._key = ((secret, day), key)
        return key


def _endpoint(url: str) -> tuple[str, Origin, str]:
    parts = urlsplit(url)
    return parts.netloc, Origin.of(url), parts.path.rstrip("/")
