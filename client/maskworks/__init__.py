"""Segment every image in a bucket: the client of a maskworks server."""

from maskworks.aio.client import AsyncClient
from maskworks.aio.job import AsyncJob
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
from maskworks.masks import RLE, Mask
from maskworks.records import Event, Item, JobRecord, Model, Result, Segmented
from maskworks.sync.client import Client
from maskworks.sync.job import Job
from maskworks.version import VERSION as __version__
from maskworks.webhooks import WebhookDelivery, WebhookSecret

__all__ = [
    "RLE", "APIError", "AsyncClient", "AsyncJob", "Client", "Config", "ConfigError", "Conflict", "ConnectionFailed",
    "Embedding", "Event", "Forbidden", "InvalidRequest", "Item", "Job", "JobRecord", "JobUnsuccessful", "Mask",
    "MaskworksError", "MissingExtra", "Model", "NotFound", "Result", "Segmented", "ServerError", "TooManyRequests",
    "Unauthenticated", "UploadError", "WaitTimeout", "WebhookDelivery", "WebhookSecret", "__version__",
]  # fmt: skip
