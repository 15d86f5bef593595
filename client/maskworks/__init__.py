"""Segment every image in a bucket: the client of a maskworks server."""

from typing import TYPE_CHECKING

from maskworks.config import Config
from maskworks.embedding import Embedding
from maskworks.errors import (
    APIError,
    ConfigError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    JobUnsuccessful,
    MaskworksError,
    MissingExtra,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthenticated,
    UploadError,
    WaitTimeout,
)
from maskworks.masks import RLE, Mask, TiledMask
from maskworks.records import Event, Item, JobRecord, Model, Result, Segmented, TiledResult
from maskworks.sync.client import Client
from maskworks.sync.job import Job
from maskworks.version import VERSION as __version__
from maskworks.webhooks import WebhookDelivery, WebhookSecret

if TYPE_CHECKING:
    from maskworks.aio.client import AsyncClient
    from maskworks.aio.job import AsyncJob
else:

    def __getattr__(name: str) -> object:
        """The asynchronous client is loaded where it is asked for. It takes as long as everything else here."""
        if name == "AsyncClient":
            from maskworks.aio.client import AsyncClient as found
        elif name == "AsyncJob":
            from maskworks.aio.job import AsyncJob as found
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found


__all__ = [
    "RLE", "APIError", "AsyncClient", "AsyncJob", "Client", "Config", "ConfigError", "Conflict", "ConnectionFailed",
    "Embedding", "Event", "Forbidden", "InvalidRequest", "Item", "Job", "JobRecord", "JobUnsuccessful", "Mask",
    "MaskworksError", "MissingExtra", "Model", "NotFound", "Result", "Segmented", "ServerError", "TiledMask",
    "TiledResult", "TooManyRequests", "Unauthenticated", "UploadError", "WaitTimeout", "WebhookDelivery",
    "WebhookSecret", "__version__",
]  # fmt: skip
