"""A cache of embeddings that drops those used longest ago."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from prometheus_client import Counter
from torch import Tensor

LOOKUPS: Final = Counter(
    "maskworks_embedding_cache_lookups", "Embeddings looked for in the cache, by result (hit, miss).", ["result"]
)
for _result in ("hit", "miss"):  # from 0 on, so that Prometheus sees the first
    LOOKUPS.labels(_result)


class EmbeddingCache:
    """The embeddings used last, up to `capacity` bytes. They stay on their device. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = self.misses = 0
        self._held: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: str) -> Tensor | None:
        """(1, C, h, w), or None where it is not held."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                self.misses += 1
                LOOKUPS.labels("miss").inc()
                return None
            self.hits += 1
            LOOKUPS.labels("hit").inc()
            self._held.move_to_end(key)
            return found

    def put(self, key: str, embedding: Tensor) -> None:
        """Hold a copy and drop those used longest ago. A view would keep its whole batch in memory."""
        size = embedding.numel() * embedding.element_size()
        with self._lock:
            if size > self.capacity or key in self._held:
                return
            self._held[key] = embedding.clone()
            self._bytes += size
            while self._bytes > self.capacity:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= dropped.numel() * dropped.element_size()
