"""What the client depends on, checked one by one: settings, server, database, key, workers, jobs, S3, local stack."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Final

from msgspec import Struct

from maskworks.config import Config, find_stack
from maskworks.errors import (
    APIError,
    ConfigError,
    ConnectionFailed,
    Forbidden,
    MaskworksError,
    MissingExtra,
    Unauthenticated,
)
from maskworks.local_stack import findings as local_findings
from maskworks.local_stack import is_of
from maskworks.sync.client import Client
from maskworks.uploads import Uploader

EXTRAS: Final = {
    "s3": "boto3",
    "numpy": "numpy",
    "images": "PIL",
    "coco": "pycocotools",
    "shapely": "shapely",
    "pandas": "pandas",
}
_PATIENCE: Final = timedelta(seconds=60)


class Finding(Struct, frozen=True):
    """`ok` is None where there was nothing to check. `todo` says what to do about it."""

    name: str
    ok: bool | None
    detail: str
    todo: str | None = None


def examine() -> Iterator[Finding]:
    """Every check, in an order in which the first failure explains the later ones."""
    try:
        config = Config.find()
    except ConfigError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, f"{config.url} (from {config.source})")
    stack = find_stack(os.environ)
    local = [Finding(*each) for each in local_findings(stack)] if is_of(stack, config.url) else []
    yield from local
    with Client(config=config, retries=0, timeout=5.0) as client:
        # The local stack holds the port also while no API runs, so that a call would wait in vain.
        server = [] if any(each.name == "api" and not each.ok for each in local) else list(_server(client))
        yield from server
        serves = bool(server) and all(finding.ok for finding in server)
        if serves:
            yield from _service(client)
        yield _uploads(config, client if serves else None)
    yield _extras()


def _server(client: Client) -> Iterator[Finding]:
    url = client.config.url
    try:
        client.ready()
    except ConnectionFailed as error:
        yield Finding("server", False, str(error), "start it (`maskworks up`), or correct MASKWORKS_URL")
        return
    except APIError as error:
        yield Finding("server", True, f"{url} answers")
        todo = "run `python -m db.migrate`" if error.reason == "NOT_READY" else "start Postgres, or mend its network"
        yield Finding("database", False, f"{error.reason}: {error.detail}", todo)
        return
    yield Finding("server", True, f"{url} answers")
    yield Finding("database", True, "it answers, and has the right revision")


def _service(client: Client) -> Iterator[Finding]:
    try:
        models = client.models()
    except (Unauthenticated, Forbidden) as error:
        yield Finding("key", False, str(error), "make one with `maskworks keys create --name NAME`, and set it")
        return
    except MaskworksError as error:
        yield Finding("key", False, str(error))
        return
    yield Finding("key", True, "the server knows it")
    loaded = [model.name for model in models if model.loaded]
    if loaded:
        yield Finding("workers", True, f"they have loaded {', '.join(loaded)}")
    else:
        names = ", ".join(model.name for model in models)
        todo = "start one (`celery -A workers.main worker`); its log says why a model cannot be loaded"
        yield Finding("workers", False, f"no live worker has loaded any of {names}", todo)
    yield _jobs(client, bool(loaded))


def _jobs(client: Client, has_worker: bool) -> Finding:
    """Whether jobs move. A job that nobody dispatches stays pending although there are workers."""
    try:
        open_jobs = [job.record for state in ("ingesting", "pending") for job in client.jobs.list(state=state)]
    except MaskworksError as error:
        return Finding("jobs", False, str(error))
    blocked = next((record for record in open_jobs if record.waiting_for not in (None, "NO_WORKER")), None)
    if blocked:
        return Finding("jobs", False, f"{blocked.id} waits: {blocked.waiting_for} {blocked.waiting_detail or ''}")
    old = [record.id for record in open_jobs if datetime.now(UTC) - record.create_time > _PATIENCE]
    if old and has_worker:
        todo = "look whether `python -m workers.dispatcher` runs and reaches Redis"
        return Finding("jobs", False, f"{old[-1]} has not begun after a minute", todo)
    return Finding("jobs", True, f"{len(open_jobs)} are waiting to begin")


def _uploads(config: Config, client: Client | None) -> Finding:
    if not config.uploads and client is not None and (taken := _folder(client)):
        return Finding("uploads", True, f"the server takes them into {taken}")
    if not config.uploads:
        return Finding("uploads", None, "no place is set", "set MASKWORKS_UPLOADS=s3://bucket/prefix/ for local files")
    try:
        uri = Uploader(config).probe()
    except MissingExtra as error:
        return Finding("uploads", False, "boto3 is not installed", str(error))
    except MaskworksError as error:
        return Finding("uploads", False, str(error), "check that S3 runs, and the credentials for this bucket")
    refused = "" if client is None else _refusal(client, uri)
    if refused:
        detail = f"the server may not read {config.uploads}: {refused}"
        return Finding("uploads", False, detail, "choose another place, or add the bucket to MASKWORKS_BUCKETS")
    return Finding("uploads", True, f"{config.uploads} can be written")


def _folder(client: Client) -> str | None:
    """Where the server stores uploads; None where it takes none, or does not say."""
    try:
        return client.uploads().folder
    except MaskworksError:
        return None


def _refusal(client: Client, uri: str) -> str:
    """Why the server may not read an image there; empty where it may, or does not say."""
    try:
        checked = client.jobs.validate({"task": {"type": "auto"}, "input": {"items": [{"image": uri}]}})
        return "" if checked.valid else checked.errors[0]["detail"]
    except APIError as error:
        return error.detail if error.reason == "BUCKET_NOT_ALLOWED" else ""
    except MaskworksError:
        return ""  # reported as the server's


def _extras() -> Finding:
    missing = [name for name, module in EXTRAS.items() if find_spec(module) is None]
    if not missing:
        return Finding("extras", True, "all of them are installed")
    todo = f"pip install 'maskworks-client[{','.join(missing)}]', if you need them"
    return Finding("extras", None, f"not installed: {', '.join(missing)}", todo)
