"""Segment Anything: `pre` on the CPU, `core` on the device, `post` on the CPU, or `run` for all three.

It holds weights and a cache of embeddings, but no current image. Any number of images may be in `pre` and `post`, on
any thread. On a CPU several threads may be in `core`; on CUDA it runs on one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeVar  # the one of `typing` takes a default from Python 3.13 on

from model.device import device_errors, working_dtype
from model.embeddings.embedding import Embedding
from model.embeddings.encoder import Encoder, View
from model.errors import ModelError
from model.masks import sparse
from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.networks.protocol import Network
from model.networks.sam import Sam
from model.protocol import DEFAULTS, Options
from model.sizes import size
from model.spec import Automatic, Prompt, Prompted, Task, Text, Wanted
from model.tasks.bounds import fit_all
from model.tasks.sight import Sight
from model.tasks.table import TASKS, Plan
from model.weights import checkpoint
from model.weights.seeding import build
from model.words.protocol import Words

PRECISIONS = ("exact", "fast")
CACHE_BYTES = 256 << 20
N = TypeVar("N", bound=Network, default=Sam)


@dataclass(frozen=True)
class Prepared:
    """An image and its task, ready for `core`."""

    task: type
    plan: Plan
    views: tuple[View, ...]


@dataclass(frozen=True)
class Raw:
    """What the networks found in one image.

    `encode_ms`: its share of the encoder's time as the host sees it. On CUDA that is the time to queue the work.
    """

    task: type
    found: Any
    encode_ms: float


class Segmenter(Generic[N]):
    """A network with its weights on a device. Build it with `load` or `seeded`."""

    def __init__(
        self,
        sam: N,
        revision: str,
        device: str,
        precision: str,
        cache_bytes: int = CACHE_BYTES,
        bfloat16: bool | None = None,
        words: Words | None = None,
        encoder: type[Encoder] = Encoder,
    ) -> None:
        if precision not in PRECISIONS:
            raise ModelError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        self.sam = sam.placed(device, working_dtype(device, precision, bfloat16))
        self.name, self.revision, self.precision, self.device = sam.row.name, revision, precision, device
        self.words = words
        self.tasks = served(words)
        self.batch_images = 8 if device.startswith("cuda") else 2
        self.encoder = encoder(self.sam, f"{self.name}:{revision}:{precision}", cache_bytes)
        self._compiled = False

    @classmethod
    def load(cls, name: str, options: Options = DEFAULTS) -> Segmenter[Sam]:
        """With trained weights. Raises UnknownModel and CheckpointError. `model.weights.files` says where it looks."""
        sam, revision = checkpoint.load(size(name), options.checkpoint, cache=options.cache, download=options.download)
        return Segmenter(
            sam, revision, options.device, options.precision, bfloat16=options.bfloat16, words=options.words
        )

    @classmethod
    def seeded(
        cls, name: str, seed: int = 0, device: str = "cpu", precision: str = "exact", words: Words | None = None
    ) -> Segmenter[Sam]:
        """With random weights, the same on every machine. Masks mean nothing and cost as much as real ones."""
        return Segmenter(build(name, seed=seed), f"seed-{seed}", device, precision, words=words)

    def revision_of(self, task: str) -> str:
        """The weights that make the masks of a task of this type."""
        return self.revision if task != "text" or self.words is None else f"{self.revision}+{self.words.revision}"

    def state_dict(self) -> dict[str, Tensor]:
        """The weights under their published names."""
        return self.sam.state_dict()

    def pre(self, image: Pixels, wanted: Wanted) -> Prepared:
        """From uint8 (H, W, 3) RGB and a fitted task (`model.tasks.bounds`), or Embed, to the input of `core`."""
        check_image(image)
        sight = Sight((image.shape[0], image.shape[1]), self.sam.row, image, self.words)
        plan = TASKS[type(wanted)].pre(wanted, sight)
        return Prepared(type(wanted), plan, tuple(self.encoder.view(image, frame) for frame in plan.frames))

    def pre_embedded(self, embedding: Embedding, task: Task) -> Prepared:
        """As `pre`, with an embedding in place of the image.

        Raises ModelError for an embedding of other weights or precision, and for a task with crops, which need pixels.
        """
        if not self.encoder.made(embedding.key):
            raise ModelError(f"this embedding is not of {self.name} {self.revision} in {self.precision}")
        plan = TASKS[type(task)].pre(task, Sight(embedding.frame.image, self.sam.row, words=self.words))
        if len(plan.frames) > 1:
            raise ModelError("crops need the image: an embedding holds the whole of it only")
        view = View(embedding.frame, None, embedding.key, embedding.tensor.to(self.device))
        return Prepared(type(task), plan, (view,))

    @torch.inference_mode()
    def core(self, batch: list[Prepared]) -> list[Raw]:
        """Run the networks, batched across images and prompts. Returns one Raw for each Prepared, in order.

        Raises OutOfMemory (try fewer images) and DeviceLost (end the process).
        """
        with device_errors():
            return self._core(batch)

    def _core(self, batch: list[Prepared]) -> list[Raw]:
        started = time.perf_counter()
        embeddings = iter(self.encoder.encode([view for one in batch for view in one.views], self.batch_images))
        encode_ms = (time.perf_counter() - started) * 1000 / len(batch)
        seen = [list(islice(embeddings, len(one.views))) for one in batch]
        found: dict[int, Any] = {}
        for task in dict.fromkeys(one.task for one in batch):
            alike = [i for i, one in enumerate(batch) if one.task is task]
            results = TASKS[task].core(self.sam, [batch[i].plan for i in alike], [seen[i] for i in alike])
            found.update(zip(alike, results, strict=True))
        return [Raw(one.task, found[i], encode_ms) for i, one in enumerate(batch)]

    def post(self, raw: Raw) -> list[Mask]:
        """The masks: automatic ones by predicted IoU, descending; prompted ones in the order of the prompts."""
        masks: list[Mask] = TASKS[raw.task].post(raw.found)
        return masks

    def post_embedding(self, raw: Raw) -> NDArray[np.float16]:
        """The embedding, float16 (C, h, w), where Embed was asked for."""
        embedding: NDArray[np.float16] = TASKS[raw.task].post(raw.found)
        return embedding

    def run(self, images: Sequence[Pixels], tasks: Sequence[Task]) -> list[list[Mask]]:
        """Fit the tasks, then pre, core and post, `batch_images` at a time. Returns a list of masks for each image.

        Boxes are clipped to their image. Raises PromptOutOfBounds for a prompt that does not fit its image.
        """
        results: list[list[Mask]] = []
        pairs = list(zip(images, tasks, strict=True))
        for at in range(0, len(pairs), self.batch_images):
            part = pairs[at : at + self.batch_images]
            prepared = [self.pre(image, self._fitted(task, *image.shape[:2])) for image, task in part]
            results += [self.post(raw) for raw in self.core(prepared)]
        return results

    def embed(self, image: Pixels) -> Embedding:
        """The embedding of the whole image, from the cache if it is there."""
        check_image(image)
        frame = Sight((image.shape[0], image.shape[1]), self.sam.row).frame
        view = self.encoder.view(image, frame)
        with torch.inference_mode():
            return Embedding(self.encoder.encode([view], 1)[0], frame, view.key)

    def run_embedded(self, embedding: Embedding, task: Task) -> list[Mask]:
        """As `run`, with an embedding in place of the image."""
        fitted = self._fitted(task, *embedding.frame.image)
        return self.post(self.core([self.pre_embedded(embedding, fitted)])[0])

    def _fitted(self, task: Task, height: int, width: int) -> Task:
        return fit_all(task, height, width, self.sam.row.mask_size)

    def compile_encoder(self, backend: str | Callable[..., object] = "inductor") -> None:
        """Compile the image encoder; `warm` then takes minutes. For CUDA only.

        On a CPU attention is a loop over slices, which a compiler unrolls.
        """
        self.sam.image_encoder.compile(backend=backend, fullgraph=True)
        self._compiled = True

    def warm(self) -> None:
        """Run each kind of task once on a small image, so that the first real image is not slow."""
        if self._compiled:
            self._warm_compiled()
        sparse.warm()
        blank = np.zeros((64, 64, 3), dtype=np.uint8)
        corner = Prompted((Prompt(points=((1.0, 1.0),), labels=(1,)), Prompt(box=(0.0, 0.0, 9.0, 9.0))))
        self.run([blank, blank], [Automatic(points_per_side=2), corner])
        if self.words is not None:
            self.run([blank], [Text(("object",), max_masks=1)])

    @torch.inference_mode()
    def _warm_compiled(self) -> None:
        """Two sizes: the second makes the number of images a variable of the compiled graph."""
        side = self.sam.row.image_size
        for images in (1, 2, self.batch_images):
            self.sam.encode(torch.zeros(images, 3, side, side, device=self.device))


def served(words: Words | None) -> tuple[str, ...]:
    """The tasks of a segmenter with this model for text, or with none."""
    if words is None:
        return "auto", "prompted"
    return ("auto", "prompted", "text", *(("text_exemplars",) if words.takes_exemplars else ()))


def check_image(image: Pixels) -> None:
    """Raise ValueError unless the image is uint8 (H, W, 3) with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
