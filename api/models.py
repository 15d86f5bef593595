"""Models that jobs may name, and the workers that have them loaded: what each does now, and how fast it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.auth import CurrentTenant
from api.database import Reads
from api.decoders.files import Decoders
from api.http.problems import PROBLEMS
from api.settings import Settings
from db.ids import show_job_id, show_worker_id
from db.statements.register import live_workers

router = APIRouter(prefix="/v1/models", tags=["models"], responses=PROBLEMS)


@dataclass(frozen=True)
class Facts:
    """Facts about a model that is not loaded. A test compares them with `model.sizes`, which `api` must not import."""

    parameters: int
    licence: str


FACTS: dict[str, Facts] = {
    "sam_vit_h": Facts(641_090_608, "Apache-2.0"),
    "sam_vit_l": Facts(312_342_832, "Apache-2.0"),
    "sam_vit_b": Facts(93_735_472, "Apache-2.0"),
    "mobile_sam": Facts(9_808_452, "Apache-2.0"),
    "sam_tiny": Facts(5_274_544, "Apache-2.0"),
}


class WorkerGpu(BaseModel):
    """The GPU of a worker. Others may use it too."""

    name: str = Field(examples=["NVIDIA H200"])
    used_bytes: int
    total_bytes: int


class WorkerChunk(BaseModel):
    """A chunk of one of your jobs that a worker works on."""

    job_id: str
    chunk: int = Field(description="Chunks of a job are numbered from 0")
    since: datetime


class WorkerStatus(BaseModel):
    """What a worker does now, a few seconds late at most. The same for each of its models."""

    memory_bytes: int = Field(description="Memory of the host that the process takes")
    gpu: WorkerGpu | None = Field(description="null: it computes without one")
    busy: bool = Field(description="Whether it works for anybody, on a job or on one image")
    work: list[WorkerChunk] = Field(description="Its chunks of your own jobs. Those of others only make it busy")
    images_per_second: float = Field(description="Images of all tenants in the last two minutes, a second")


class ModelWorker(BaseModel):
    """One live worker that has the model loaded."""

    id: str = Field(
        description="A worker with several models is listed with each, by the same id. Its log has the id too",
        examples=["worker_9f86d081884c"],
    )
    device: str
    precision: str
    revision: str
    tasks: list[str] = Field(
        description="Kinds of task that it serves. `text_exemplars`: it serves `text`, and takes exemplars"
    )
    status: WorkerStatus | None = Field(description="null: a worker of an older release, which does not report it")


class Model(BaseModel):
    name: str = Field(examples=["sam_tiny"])
    default: bool = Field(description="The model of a job that names none")
    parameters: int | None
    licence: str | None
    loaded: bool = Field(description="Whether a worker seen within 30 s has it loaded")
    workers: list[ModelWorker]
    decoders: list[str] = Field(
        description="Revisions whose mask decoder can be downloaded, for clients that decode masks themselves"
    )


class ModelPage(BaseModel):
    models: list[Model]


@router.get("")
async def list_models(request: Request, tenant: CurrentTenant, reads: Reads) -> ModelPage:
    """List the models that jobs may name, and the workers that have them loaded."""
    settings: Settings = request.app.state.settings
    async with reads.connect() as connection:
        rows = (await connection.execute(*live_workers(tenant.id))).all()
    decoders: Decoders = request.app.state.decoders
    return ModelPage(models=[_model(name, rows, settings, decoders) for name in settings.models])


def _model(name: str, rows: Sequence[Any], settings: Settings, decoders: Decoders) -> Model:
    facts = FACTS.get(name)
    live = [_worker(row) for row in rows if row.model == name]
    return Model(
        name=name,
        default=name == settings.default_model,
        parameters=facts.parameters if facts else None,
        licence=facts.licence if facts else None,
        loaded=bool(live),
        workers=live,
        decoders=[revision for model, revision in decoders if model == name],
    )


def _worker(row: Any) -> ModelWorker:
    return ModelWorker(
        id=show_worker_id(row.id),
        device=row.device,
        precision=row.precision,
        revision=row.model_revision,
        tasks=row.tasks,
        status=None if row.rss_bytes is None else _status(row),
    )


def _status(row: Any) -> WorkerStatus:
    gpu = row.gpu_name and WorkerGpu(name=row.gpu_name, used_bytes=row.gpu_used_bytes, total_bytes=row.gpu_total_bytes)
    return WorkerStatus(
        memory_bytes=row.rss_bytes,
        gpu=gpu,
        busy=row.chunks + row.calls > 0,
        work=[_chunk(row.seen_at, each) for each in row.own_work or ()],
        images_per_second=round(row.images_per_second, 3),
    )


def _chunk(seen_at: datetime, found: dict[str, Any]) -> WorkerChunk:
    since = seen_at - timedelta(seconds=found["seconds"])
    return WorkerChunk(job_id=show_job_id(UUID(found["job_id"])), chunk=found["chunk_no"], since=since)
