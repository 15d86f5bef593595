"""The tenant that a request is made for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tenant:
    """The owner of API keys and jobs. A tenant sees only its own jobs."""

    id: str
