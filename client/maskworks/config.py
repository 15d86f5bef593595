"""Where the server is, and with which key. Arguments win, then the environment, a file, and the local stack.

MASKWORKS_URL, MASKWORKS_API_KEY, MASKWORKS_UPLOADS     the environment
~/.config/maskworks/config.toml                         `url`, `api_key`, `uploads`; MASKWORKS_CONFIG names another
.maskworks/stack.json                                   of a stack that runs here or in a folder above

A key that stands beside a URL is sent to that URL alone.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskworks.errors import ConfigError

STACK_FILE = Path(".maskworks") / "stack.json"


@dataclass(frozen=True)
class S3Access:
    """How local files reach S3. All None: as boto3 finds it by itself."""

    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    region: str | None = None


@dataclass(frozen=True)
class Config:
    """A server, a key, and the place in S3 for local files."""

    url: str
    api_key: str = field(repr=False)
    uploads: str | None = None
    s3: S3Access = S3Access()
    source: str = "arguments"

    @classmethod
    def find(
        cls,
        url: str | None = None,
        api_key: str | None = None,
        uploads: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> "Config":
        """Raises ConfigError."""
        env = os.environ if env is None else env
        file, stack = read_file(env), find_stack(env)
        chosen = url or env.get("MASKWORKS_URL") or file.get("url") or stack.get("api_url")
        if not chosen:
            raise ConfigError(
                "There is no server. Set MASKWORKS_URL and MASKWORKS_API_KEY, or start a local one with `maskworks up`."
            )
        if not chosen.startswith(("http://", "https://")):
            raise ConfigError(f"The server's URL begins with http:// or https://, and not as {chosen}.")
        places = [("file", file, "url"), ("stack", stack, "api_url")]
        beside = [(name, found) for name, found, at in places if _same(found.get(at), chosen)]
        keys = [found["api_key"] for _, found in beside if found.get("api_key")]
        key = api_key or env.get("MASKWORKS_API_KEY") or next(iter(keys), None)
        if not key:
            raise ConfigError(f"There is no API key for {chosen}. Set MASKWORKS_API_KEY.")
        access = stack["s3"] if ("stack", stack) in beside else {}
        return cls(
            url=_bare(chosen),
            api_key=key,
            uploads=uploads or env.get("MASKWORKS_UPLOADS") or file.get("uploads") or _bucket(access),
            s3=S3Access(*(access.get(name) for name in ("endpoint_url", "access_key", "secret_key", "region"))),
            source=_source(url, env, file),
        )


def read_file(env: Mapping[str, str]) -> dict[str, Any]:
    """The file of settings; empty where there is none."""
    path = file_path(env)
    try:
        text = path.read_text()
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        if "MASKWORKS_CONFIG" in env:
            raise ConfigError(f"MASKWORKS_CONFIG names {path}, which does not exist.") from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def file_path(env: Mapping[str, str]) -> Path:
    if named := env.get("MASKWORKS_CONFIG"):
        return Path(named).expanduser()
    home = env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "~")).expanduser() / ".config"
    return Path(home) / "maskworks" / "config.toml"


def find_stack(env: Mapping[str, str]) -> dict[str, Any]:
    """stack.json of a local stack; empty where none is up. MASKWORKS_STACK names another file."""
    here = Path.cwd()
    named = [Path(env["MASKWORKS_STACK"])] if env.get("MASKWORKS_STACK") else []
    for path in named or [folder / STACK_FILE for folder in (here, *here.parents)]:
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        return found
    return {}


def _same(one: str | None, other: str) -> bool:
    return one is not None and _bare(one) == _bare(other)


def _bare(url: str) -> str:
    """Without the `/v1` that each call adds."""
    return url.rstrip("/").removesuffix("/v1")


def _bucket(access: Mapping[str, Any]) -> str | None:
    return f"s3://{access['bucket']}/uploads/" if access.get("bucket") else None


def _source(url: str | None, env: Mapping[str, str], file: Mapping[str, Any]) -> str:
    if url:
        return "arguments"
    if env.get("MASKWORKS_URL"):
        return "MASKWORKS_URL"
    return str(file_path(env)) if file.get("url") else str(STACK_FILE)
