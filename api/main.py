"""The application: `uvicorn --factory api.main:create_app`. It uses Postgres and Redis, never torch."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import errors, health, models, openapi, pages
from api.annotations import routes as annotations
from api.auth import NEEDS_KEY, KeyRing
from api.decoders import files as decoder_files
from api.decoders import routes as decoders
from api.events import routes as events
from api.events.feed import Feed
from api.exports import routes as exports
from api.http.bodies import BodyRoom
from api.http.edge import Edge
from api.http.latency import Latency
from api.http.parameters import KNOWN_PARAMETERS
from api.http.request_id import RequestId
from api.http.slots import Slots
from api.instant import routes as instant
from api.instant.queue import CallQueue
from api.items import overlay, preview
from api.items import routes as items
from api.items.preview_cache import PreviewCache
from api.items.renderer import Renderer
from api.jobs import routes as jobs
from api.jobs.links import Signer
from api.rate_limit import RateLimit
from api.refusals import (
    TooManyCalls,
    TooManyExports,
    TooManyFollowers,
    TooManyOverlays,
    TooManyPreviews,
    TooManyUploads,
)
from api.settings import Settings
from api.uploads import routes as uploads
from api.uploads.store import UploadStore
from api.webhooks import routes as webhooks
from api.wrong_keys import Brake
from db.configuration import ConfigurationError, operator_errors, read_settings
from db.engine import async_engine
from db.logs import log_to_stderr
from db.metrics_server import serve_metrics
from db.migrate import head_revision
from db.traces import start_traces
from exports.pages import Reader
from model.hub_name import FORM, is_hub_name

log = logging.getLogger("maskworks.api")


def create_app(settings: Settings | None = None) -> FastAPI:
    """A new application. Without `settings` they are read from the environment."""
    settings = settings or settings_from_environment()
    app = FastAPI(
        title="maskworks",
        version=version("maskworks"),
        summary="Segment every image in a bucket by one REST call.",
        description=openapi.DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,  # served by `api.pages`
        # A redirect would go to whatever host the client names in its Host header.
        redirect_slashes=False,
        lifespan=_lifespan,
        # FastAPI makes the spans of requests itself, and would also read the variables of OpenTelemetry.
        telemetry={"tracing": settings.tracing, "metrics": False, "logs": False, "auto_configure": False},
    )
    _open(app, settings)
    for module in (
        *(jobs, events, items, overlay, preview, exports, webhooks, annotations, models, decoders, instant),
        uploads,
    ):
        app.include_router(module.router, dependencies=[NEEDS_KEY, KNOWN_PARAMETERS])
    for module in (health, pages):
        app.include_router(module.router, dependencies=[KNOWN_PARAMETERS])
    app.add_middleware(Edge)
    app.add_middleware(Latency)
    app.add_middleware(RequestId)
    errors.install(app)
    openapi.install(app)
    return app


def settings_from_environment() -> Settings:
    """For an entry point. Wrong settings end the process, with a line for each."""
    with operator_errors():
        settings = read_settings(Settings)
        known = (*models.FACTS, "null")
        if unknown := next((name for name in settings.models if name not in known and not is_hub_name(name)), None):
            names = ", ".join(models.FACTS)
            raise ConfigurationError(f"MASKWORKS_MODELS: no model is called {unknown!r}; there are {names}, and {FORM}")
    return settings


def _open(app: FastAPI, settings: Settings) -> None:
    """Engines connect at their first use. The process starts without a database, and `/readyz` says so."""
    url = settings.database_url.get_secret_value()
    app.state.settings = settings
    app.state.engine = async_engine(url, settings.pool_size, settings.api_role)
    app.state.reads = app.state.engine.execution_options(isolation_level="AUTOCOMMIT")
    # Downloads get half of the pool, so that other requests always find a connection.
    app.state.export_reader = Reader(app.state.reads, max(1, settings.pool_size // 2))
    app.state.export_slots = Slots(settings.exports_per_tenant, TooManyExports)
    app.state.event_slots = Slots(settings.events_per_tenant, TooManyFollowers)
    app.state.call_slots = Slots(settings.calls_per_tenant, TooManyCalls)
    app.state.calls = CallQueue(settings)
    app.state.overlay_slots = Slots(settings.overlays_per_tenant, TooManyOverlays)
    app.state.preview_slots = Slots(settings.previews_per_tenant, TooManyPreviews)
    app.state.preview_cache = PreviewCache(settings.preview_cache_bytes)
    app.state.renderer = Renderer(settings)
    app.state.decoders = decoder_files.found(settings.decoders)
    app.state.upload_slots = Slots(settings.uploads_per_tenant, TooManyUploads)
    app.state.upload_store = UploadStore(settings)
    app.state.feed = Feed(app.state.reads)
    brake = Brake(settings.wrong_keys_per_minute)
    app.state.keys = KeyRing(app.state.reads, settings.key_pepper.get_secret_value(), brake)
    app.state.rate_limit = RateLimit(settings)
    app.state.body_room = BodyRoom(settings.max_body_bytes_total, settings.max_body_bytes)
    app.state.spool_room = BodyRoom(settings.max_spool_bytes, 2 * settings.max_stream_bytes)
    app.state.signer = Signer.of(settings)
    app.state.submits = asyncio.Semaphore(settings.pool_size)
    app.state.large_submits = asyncio.Semaphore(1)
    app.state.revision = head_revision()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    settings: Settings = app.state.settings
    log_to_stderr(settings.log_format, "%(asctime)s %(levelname)s %(name)s: %(message)s", logging.WARNING)
    logging.getLogger("maskworks").setLevel(settings.log_level)
    stop_metrics = serve_metrics(settings.metrics_host, settings.metrics_port)
    send_last_spans = start_traces(settings.tracing, "api")
    if settings.api_role is None:
        log.warning("MASKWORKS_API_ROLE is not set: the database does not hide other tenants' rows from the API")
    if settings.redis_url is None:
        log.warning("MASKWORKS_REDIS_URL is not set: the requests of tenants are not limited")
    yield
    stop_metrics()
    app.state.renderer.close()
    app.state.upload_store.close()
    await app.state.feed.close()
    await app.state.calls.close()
    await app.state.keys.close()
    await app.state.rate_limit.close()
    await app.state.engine.dispose()
    await asyncio.to_thread(send_last_spans)
