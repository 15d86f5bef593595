"""A worker's settings. The entry module reads them from the environment once."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from db.queues import queues
from model.hub_name import FORM, is_hub_name
from model.load import serves_text
from model.sizes import SIZES
from workers.shared_settings import SharedSettings, split_names
from workers.testing.settings import CrashSettings, NullSettings

Names = TypeVar("Names", tuple[str, ...], dict[str, str])


class Settings(SharedSettings, CrashSettings, NullSettings):
    """Every field is the variable MASKWORKS_<NAME>. Lists are comma separated."""

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("sam_tiny",),
        min_length=1,
        description="Models a worker loads and takes work for. `hf:owner/name` or `hf:owner/name@revision` is a model "
        "of transformers, from the folder that MASKWORKS_CHECKPOINTS gives it, else from the hub; it needs the extra "
        "`hf`",
    )
    checkpoints: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="Where weights are, as name=path,…, or name=path#sha256 to have a file checked; "
        "unset: the cache, then the bundled file of that name. The path of an `hf:` name is a folder",
    )
    text: str | None = Field(
        None,
        description="The model that lets a worker serve text jobs: a folder, or `owner/name` or `owner/name@revision` "
        "on the hub of transformers, with the extra `text`; or `offline`, a weak one for demonstrations, with "
        "the extra `offline`. Unset: text jobs are not served",
    )
    cache: Path = Field(Path("~/.cache/maskworks").expanduser(), description="Folder of fetched checkpoints")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:N, or auto: CUDA where there is one"
    )
    precision: Literal["exact", "fast"] | None = Field(
        None, description="Precision of jobs that name none; unset: fast on CUDA, exact on a CPU"
    )
    bfloat16: bool | None = Field(
        None, description="Whether `fast` computes in bfloat16; unset: where the device multiplies it natively"
    )
    threads: int | None = Field(
        None,
        gt=0,
        description="Torch's threads in a worker, shared by the batches it computes at once; unset: one a core",
    )
    slots: int = Field(
        2, gt=0, description="Chunks a worker has at a time: the second fills the GPU over the first's tail"
    )
    https_images: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts from which jobs may read `https://` images: `images.example.com`, `*.example.com`, or `*` "
        "for every public host. Another port than 443 is named with its host. Unset: none. The API refuses others at "
        "submit; a worker fails items of others with HOST_NOT_ALLOWED",
    )
    max_image_bytes: int = Field(64 * 2**20, gt=0, description="An object larger than this is not fetched")
    max_image_pixels: int = Field(100_000_000, gt=0, description="An image of more pixels is not decoded")
    lease_seconds: float = Field(30, ge=1, description="A worker silent for longer loses its chunks")
    chunk_seconds: float = Field(30, gt=0, description="After this long a worker gives the rest of a chunk back")
    batch_seconds: float = Field(
        300, gt=0, description="A GPU batch that takes longer is a hang: the worker ends itself"
    )
    fetch_threads: int = Field(8, gt=0, description="Objects fetched at a time, not counting slow ones")
    fetch_seconds: float = Field(
        60,
        gt=0,
        description="An object not read within this long fails with TIMEOUT; waiting for a bucket that throttles does "
        "not count",
    )
    throttle_seconds: float = Field(
        600,
        gt=0,
        description="A bucket that has answered nothing but 'slow down' for this long fails the items that ask for it "
        "with STORAGE_UNAVAILABLE",
    )
    decode_threads: int = Field(2, gt=0, description="Images decoded at a time")
    max_rss_bytes: int | None = Field(None, gt=0, description="A worker above this leaves cleanly, to be restarted")
    health_dir: Path | None = Field(
        None,
        description="Folder of files for probes: a worker's `loaded` and `gpu-loop`, a dispatcher's `dispatcher-loop`",
    )

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that a worker takes chunks from (`db.queues`)."""
        return tuple(name for model in self.models for name in queues(model, text=serves_text(model, self.text)))

    @field_validator("models", "https_images", mode="before")
    @classmethod
    def _models(cls, value: object) -> object:
        return split_names(value)

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
        if wrong := next((name for name, _, path in pairs if not path), None):
            raise ValueError(f"{wrong!r} has no path: write name=path,name=path")
        return {name: path for name, _, path in pairs}

    @field_validator("models", "checkpoints")
    @classmethod
    def _known(cls, value: Names) -> Names:
        if unknown := next((n for n in value if n not in (*SIZES, "null") and not is_hub_name(n)), None):
            raise ValueError(f"no model is called {unknown!r}; there are {', '.join(SIZES)}, and {FORM}")
        return value
