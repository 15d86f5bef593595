"""A model ready for work: pre (CPU) → core (device) → post (CPU), or run(), the three in a row.

Holds weights and a cache of embeddings, never a current image: any number of images may be under way, in `pre`
and `post` on any thread, in `core` on one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.device import device_errors, multiplies_bfloat16
from model.embeddings import Embedding, EmbeddingCache, content_key, stacked
from model.errors import ModelError
from model.masks.frames import Pixels, resize, whole
from model.masks.mask import Mask
from model.networks.sam import Sam
from model.sizes import size
from model.spec import Automatic, Prompt, Prompted
from model.tasks import automatic, prompted
from model.tasks.automatic import Crop, Survivors
from model.tasks.bounds import fit_all
from model.tasks.prompted import Answered, Question
from model.tasks.rules import Rules, rules
from model.weights import checkpoint as checkpoints
from model.weights.seeding import build

PRECISIONS = ("exact", "fast")
PROMPTS_AT_ONCE = 64
CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class View:
    """One crop on its way to the encoder: pixels uint8 (h', w', 3), or None where the embedding is known."""

    crop: Crop
    pixels: Pixels | None
    key: str
    embedding: Tensor | None = None


@dataclass(frozen=True)
class Prepared:
    """An image and its task, ready for `core`."""

    image: tuple[int, int]
    views: tuple[View, ...]
    task: Rules | Prompted
    questions: tuple[Question, ...] = ()


Raw = Survivors | Answered


class Segmenter:
    """Answers `model.protocol.SegmenterProtocol`. Build with `load` or `seeded`."""

    def __init__(
        self,
        sam: Sam,
        revision: str,
        device: str,
        precision: str,
        cache_bytes: int = CACHE_BYTES,
        bfloat16: bool | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ModelError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        self.sam = sam.to(device, working_dtype(device, precision, bfloat16)).eval()
        self.name, self.revision, self.precision, self.device = sam.row.name, revision, precision, device
        self.batch_images = 8 if device.startswith("cuda") else 2
        self.embeddings = EmbeddingCache(cache_bytes)
        self._compiled = False
        self._mean, self._std = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in (sam.row.pixel_mean, sam.row.pixel_std)
        )

    @classmethod
    def load(
        cls,
        name: str,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        precision: str = "exact",
        cache: Path | None = None,
        download: Callable[[str, Path], None] | None = None,
        bfloat16: bool | None = None,
    ) -> Segmenter:
        """Trained weights (`model.weights` says where they are looked for). UnknownModel, CheckpointError.

        `bfloat16`: whether `fast` computes in it; None decides by the device."""
        sam, revision = checkpoints.load(size(name), checkpoint, cache=cache, download=download)
        return cls(sam, revision, device, precision, bfloat16=bfloat16)

    @classmethod
    def seeded(cls, name: str, seed: int = 0, device: str = "cpu", precision: str = "exact") -> Segmenter:
        """Random weights, the same on every machine: masks that mean nothing, at the real cost."""
        return cls(build(name, seed=seed), f"seed-{seed}", device, precision)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights under their published names."""
        return self.sam.state_dict()

    def pre(self, image: Pixels, task: Automatic | Prompted) -> Prepared:
        """uint8 (H, W, 3) RGB and its task → input of `core`. Prompts are as `model.tasks.bounds.fit` leaves them."""
        check_image(image)
        height, width = image.shape[:2]
        row = self.sam.row
        if isinstance(task, Prompted):
            return self._ask(task, self._view(image, Crop(whole(height, width, row.image_size), 0)))
        settled = rules(task, row)
        crops = automatic.crops(height, width, settled, row.image_size)
        return Prepared((height, width), tuple(self._view(image, crop) for crop in crops), settled)

    def pre_embedded(self, embedding: Embedding, task: Automatic | Prompted) -> Prepared:
        """As `pre`, for an image known by its embedding. Raises ModelError for one of other weights or precision,
        or where the task asks for crops, which need pixels."""
        if not embedding.key.endswith(self._suffix):
            raise ModelError(f"this embedding is not of {self.name} {self.revision} in {self.precision}")
        view = View(Crop(embedding.frame, 0), None, embedding.key, embedding.tensor.to(self.device))
        if isinstance(task, Prompted):
            return self._ask(task, view)
        settled = rules(task, self.sam.row)
        if settled.crop_n_layers:
            raise ModelError("crops need the image: an embedding holds the whole of it only")
        return Prepared(embedding.frame.image, (view,), settled)

    def _ask(self, task: Prompted, view: View) -> Prepared:
        if task.box_format != "xyxy":
            raise ValueError("prompts go through model.tasks.bounds.fit first: boxes are taken as corners here")
        frame, row = view.crop.frame, self.sam.row
        asked = (prompted.question(p, frame, row.image_size, row.mask_size) for p in task.prompts)
        return Prepared(frame.image, (view,), task, tuple(asked))

    @property
    def _suffix(self) -> str:
        return f":{self.name}:{self.revision}:{self.precision}"

    def _view(self, image: Pixels, crop: Crop) -> View:
        pixels = resize(image, crop.frame)
        return View(crop, pixels, content_key(pixels) + self._suffix)

    @torch.inference_mode()
    def core(self, batch: list[Prepared]) -> list[Raw]:
        """The networks, batched across images and prompts; one Raw per Prepared, in order.

        Raises OutOfMemory (try fewer images) and DeviceLost (end the process).
        """
        with device_errors():
            return self._core(batch)

    def _core(self, batch: list[Prepared]) -> list[Raw]:
        started = time.perf_counter()
        embeddings = self._encode([view for one in batch for view in one.views])
        encode_ms = (time.perf_counter() - started) * 1000 / len(batch)
        starts = np.cumsum([0, *(len(one.views) for one in batch)])
        asked = [i for i, one in enumerate(batch) if isinstance(one.task, Prompted)]
        found: dict[int, Raw] = dict(self._answer(batch, asked, [embeddings[starts[i]] for i in asked]))
        for i, one in enumerate(batch):
            if isinstance(one.task, Rules):
                found[i] = self._search(one, one.task, embeddings[starts[i] : starts[i + 1]])
        return [replace(found[i], encode_ms=encode_ms) for i in range(len(batch))]

    def _encode(self, views: list[View]) -> list[Tensor]:
        """Each view's embedding (1, C, h, w): given, cached, or computed, `batch_images` at a time."""
        known = {v.key: v.embedding if v.embedding is not None else self.embeddings.get(v.key) for v in views}
        fresh = {v.key: v.pixels for v in views if known[v.key] is None and v.pixels is not None}
        keys = list(fresh)
        for at in range(0, len(keys), self.batch_images):
            part = keys[at : at + self.batch_images]
            pixels = stacked([fresh[key] for key in part], self.sam.row.image_size, self._mean, self._std)
            for key, one in zip(part, torch.split(self.sam.encode(pixels), 1), strict=True):
                known[key] = one
                self.embeddings.put(key, one)
        return [e for e in (known[v.key] for v in views) if e is not None]

    def _search(self, one: Prepared, settled: Rules, embeddings: list[Tensor]) -> Survivors:
        pairs = zip(one.views, embeddings, strict=True)
        found = [automatic.search(self.sam, embedding, view.crop, settled) for view, embedding in pairs]
        return automatic.survivors(found, settled, one.image)

    def _answer(self, batch: list[Prepared], asked: list[int], embeddings: list[Tensor]) -> list[tuple[int, Raw]]:
        if not asked:
            return []
        questions = [list(batch[i].questions) for i in asked]
        found = prompted.decode(self.sam, torch.cat(embeddings), questions, PROMPTS_AT_ONCE)
        side = self.sam.row.image_size
        raws: list[tuple[int, Raw]] = []
        for i, answers in zip(asked, found, strict=True):
            task = batch[i].task
            assert isinstance(task, Prompted)
            raws.append((i, prompted.answered(task, batch[i].views[0].crop.frame, side, answers)))
        return raws

    def post(self, raw: Raw) -> list[Mask]:
        """Automatic masks by predicted IoU descending; prompted ones in the order of the prompts."""
        return automatic.answers(raw) if isinstance(raw, Survivors) else prompted.answers(raw)

    def run(self, images: Sequence[Pixels], tasks: Sequence[Automatic | Prompted]) -> list[list[Mask]]:
        """Fit prompts, then pre, core and post, `batch_images` at a time; one list of masks per image.

        Boxes that reach out of their image are clipped to it. Raises PromptOutOfBounds where a prompt cannot be
        answered.
        """
        results: list[list[Mask]] = []
        pairs = list(zip(images, tasks, strict=True))
        for at in range(0, len(pairs), self.batch_images):
            part = pairs[at : at + self.batch_images]
            prepared = [self.pre(image, self._fitted(task, *image.shape[:2])) for image, task in part]
            results += [self.post(raw) for raw in self.core(prepared)]
        return results

    def embed(self, image: Pixels) -> Embedding:
        """The embedding of the whole image, from the cache where it is there."""
        check_image(image)
        frame = whole(image.shape[0], image.shape[1], self.sam.row.image_size)
        view = self._view(image, Crop(frame, 0))
        with torch.inference_mode():
            return Embedding(self._encode([view])[0], frame, view.key)

    def run_embedded(self, embedding: Embedding, task: Automatic | Prompted) -> list[Mask]:
        """Masks of an image known by its embedding; prompts as in `run`."""
        fitted = self._fitted(task, *embedding.frame.image)
        return self.post(self.core([self.pre_embedded(embedding, fitted)])[0])

    def _fitted(self, task: Automatic | Prompted, height: int, width: int) -> Automatic | Prompted:
        return fit_all(task, height, width, self.sam.row.mask_size) if isinstance(task, Prompted) else task

    def compile_encoder(self, backend: str = "inductor") -> None:
        """Compile the image encoder; `warm` then takes minutes. For CUDA: on a CPU attention is a loop of slices,
        which a compiler unrolls. Off unless asked for: nobody has measured yet where it pays."""
        self.sam.image_encoder.compile(backend=backend, fullgraph=True)
        self._compiled = True

    def warm(self) -> None:
        """One small round of everything, so that the first real image is not the slow one."""
        if self._compiled:
            self._warm_compiled()
        blank = np.zeros((64, 64, 3), dtype=np.uint8)
        corner = Prompted((Prompt(points=((1.0, 1.0),), labels=(1,)), Prompt(box=(0.0, 0.0, 9.0, 9.0))))
        self.run([blank, blank], [Automatic(points_per_side=2), corner])

    @torch.inference_mode()
    def _warm_compiled(self) -> None:
        """The second size makes the number of images a variable of the compiled graph."""
        side = self.sam.row.image_size
        for images in (1, 2, self.batch_images):
            self.sam.encode(torch.zeros(images, 3, side, side, device=self.device))


def working_dtype(device: str, precision: str, bfloat16: bool | None = None) -> torch.dtype:
    """float32 for `exact`. For `fast` bfloat16 or float32, as `bfloat16` says; None decides by the device."""
    if precision == "exact":
        return torch.float32
    wanted = multiplies_bfloat16(device) if bfloat16 is None else bfloat16
    return torch.bfloat16 if wanted else torch.float32


def check_image(image: Pixels) -> None:
    """Raises ValueError unless uint8 (H, W, 3) of at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
