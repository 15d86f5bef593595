"""Settings from MASKWORKS_* variables, and what an operator reads if one is wrong.

Each fault is one line: what, where, what to do. The process then ends with EXIT_CONFIGURATION, which tells a supervisor
not to restart it.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.url import EXAMPLE, read_database_url

EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h."""
PREFIX: Final = "MASKWORKS_"
_SECRET = ("url", "key", "pepper", "secret")

log = logging.getLogger("maskworks")
S = TypeVar("S", bound=BaseSettings)


class ConfigurationError(Exception):
    """The settings cannot be used. Each argument is one line for one fault."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


def _checked(text: str) -> str:
    read_database_url(text)
    return text


def _checked_secret(secret: SecretStr) -> SecretStr:
    read_database_url(secret.get_secret_value())
    return secret


DatabaseUrlText = Annotated[str, AfterValidator(_checked)]
DatabaseUrlSecret = Annotated[SecretStr, AfterValidator(_checked_secret)]


class DatabaseSettings(BaseSettings):
    """The settings of `python -m db.keys`, `db.tenants` and `db.autoscaler`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: DatabaseUrlText = Field(description=f"Postgres, as {EXAMPLE}")


class MigrateSettings(DatabaseSettings):
    """The settings of `python -m db.migrate`."""

    api_role: str | None = Field(
        default=None, min_length=1, description="the role that the API takes, as its own setting"
    )


class KeySettings(DatabaseSettings):
    """The settings of `python -m db.keys create`."""

    key_pepper: str = Field(min_length=1, description="the secret that the API has under this name")


def read_settings(settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Settings from this process's environment, or from `environment`. Raises ConfigurationError."""
    named: dict[str, Any] = {
        name: value for name, value in (environment or {}).items() if name.startswith(PREFIX) and value
    }
    given: dict[str, Any] = {name.removeprefix(PREFIX).lower(): value for name, value in named.items()}
    try:
        return settings(**named, **given)  # a field with an alias is given by its variable's name
    except ValidationError as error:
        raise ConfigurationError(*_faults(settings, error)) from None


@contextmanager
def operator_errors() -> Iterator[None]:
    """End the process with a line for each fault, instead of a traceback."""
    try:
        yield
    except ConfigurationError as error:
        for fault in error.faults:
            log.critical("%s", fault)
        raise SystemExit(EXIT_CONFIGURATION) from None


def _faults(settings: type[BaseSettings], error: ValidationError) -> list[str]:
    """One line for each setting: the variable, its value unless it is secret, and what is wrong."""
    lines: dict[str, str] = {}
    for each in error.errors():
        name = str(each["loc"][0]).removeprefix(PREFIX).lower() if each["loc"] else ""
        variable = f"{PREFIX}{name.upper()}"
        if each["type"] == "missing":
            meaning = settings.model_fields[name].description
            lines.setdefault(name, f"{variable} is not set: {meaning}")
            continue
        what = re.sub(r"^(Value error, |Input )", "", each["msg"])
        if each["type"] == "string_pattern_mismatch":  # say what is expected, not the regular expression
            what = f"is not of this kind: {settings.model_fields[name].description}"
        shown = variable if any(word in name for word in _SECRET) else f"{variable}={each['input']!s}"
        lines.setdefault(name, f"{shown}: {what}" if shown != variable else f"{variable} {what}")
    return list(lines.values())
