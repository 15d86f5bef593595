"""The models of a worker, by name and precision. A precision other than the default is loaded at its first use."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model.backends.null import NullSegmenter
from model.hub.files import find as find_hub
from model.hub_name import is_hub_name
from model.load import check_device, default_device, load, prepare_process
from model.protocol import Options, SegmenterProtocol
from model.sizes import size
from model.weights.files import find
from model.words.load import load as load_words
from model.words.protocol import Words
from workers.settings import Settings
from workers.storage.client import download
from workers.testing.poison import PoisonableNull
from workers.testing.regions import RegionsNull

Model = SegmenterProtocol[Any, Any]

_MOST_BATCHES = 4
"""Batches computed at a time on a CPU. Each has the memory of its own activations."""


def check_weights(settings: Settings) -> None:
    """Raise CheckpointError for the first configured model whose file is missing. S3 and the hub are not asked."""
    for name in settings.models:
        checkpoint = settings.checkpoints.get(name)
        if is_hub_name(name):
            find_hub(name, checkpoint)
        elif name != "null" and not str(checkpoint).startswith("s3://"):
            find(size(name), checkpoint, cache=settings.cache)


class Models:
    """Segmenters stay loaded for the life of the process. Weights are read once for each precision."""

    def __init__(self, settings: Settings, s3: Any) -> None:
        real = any(name != "null" for name in settings.models)
        self.device = default_device() if settings.device == "auto" and real else settings.device
        self.precision = settings.precision or ("fast" if self.device.startswith("cuda") else "exact")
        self._settings = settings
        self._s3 = s3
        threads = settings.threads or len(os.sched_getaffinity(0))
        # Two batches of one thread each take less time than two batches in turn on two threads, which wait for each
        # other at every operation. See docs/decisions/0046.
        self.batches_at_once = min(threads, _MOST_BATCHES) if real and self.device == "cpu" else 1
        if real:
            prepare_process(self.device, threads // self.batches_at_once)
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], Model] = {}
        self._words: Words | None = None

    def warm(self) -> list[Model]:
        """Load and warm every configured model in the default precision. Raises ModelError."""
        check_weights(self._settings)
        if any(name != "null" for name in self._settings.models):
            check_device(self.device)
            if self._settings.text is not None:
                self._words = load_words(self._settings.text, self.device)
        return [self.get(name, None) for name in self._settings.models]

    def get(self, name: str, precision: str | None) -> Model:
        """The segmenter. Its first use loads and warms it. Raises ModelError."""
        key = (name, precision or self.precision)
        with self._lock:
            if key not in self._loaded:
                # In a thread that ends. OpenMP keeps helpers for each thread that has computed. With more threads than
                # cores they sleep between operations, and every batch would wait for them to wake.
                with ThreadPoolExecutor(1) as loader:
                    self._loaded[key] = loader.submit(self._load, *key).result()
            return self._loaded[key]

    def _load(self, name: str, precision: str) -> Model:
        if name == "null":
            return self._null()
        options = Options(
            checkpoint=self._settings.checkpoints.get(name),
            device=self.device,
            precision=precision,
            cache=self._settings.cache,
            download=lambda uri, path: download(self._s3, uri, path),
            bfloat16=self._settings.bfloat16,
            words=self._words,
        )
        model = load(name, options)
        model.warm()
        return model

    def _null(self) -> Model:
        if self._settings.null_poison is not None:
            return PoisonableNull(self._settings.null_delay, self._settings.null_poison)
        if self._settings.null_regions:
            return RegionsNull(self._settings.null_delay)
        return NullSegmenter(delay_s=self._settings.null_delay)
