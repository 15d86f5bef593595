"""Models that jobs may name, and whether a worker has them loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.database import Reads
from api.http.problems import PROBLEMS
from api.settings import Settings
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
    "sam_tiny": Facts(2_557_488, "Apache-2.0"),
}


class ModelWorker(BaseModel):
    """One live worker that has the model loaded."""

    device: str
    precision: str
    revision: str
    tasks: list[str] = Field(
        description="Kinds of task that it serves. `text_exemplars`: it serves `text`, and takes exemplars"
    )


class Model(BaseModel):
    name: str = Field(examples=["sam_tiny"])
    default: bool = Field(description="The model of a job that names none")
    parameters: int | None
    licence: str | None
    loaded: bool = Field(description="Whether a worker seen within 30 s has it loaded")
    workers: list[ModelWorker]


class ModelPage(BaseModel):
    models: list[Model]


@router.get("")
async def list_models(request: Request, reads: Reads) -> ModelPage:
    """List the models that jobs may name."""
    settings: Settings = request.app.state.settings
    async with reads.connect() as connection:
        rows = (await connection.execute(*live_workers())).all()
    return ModelPage(models=[_model(name, rows, settings) for name in settings.models])


def _model(name: str, rows: Sequence[Any], settings: Settings) -> Model:
    facts = FACTS.get(name)
    live = [
        ModelWorker(device=row.device, precision=row.precision, revision=row.model_revision, tasks=row.tasks)
        for row in rows
        if row.model == name
    ]
    return Model(
        name=name,
        default=name == settings.default_model,
        parameters=facts.parameters if facts else None,
        licence=facts.licence if facts else None,
        loaded=bool(live),
        workers=live,
    )
