"""The cache of embeddings."""

import torch

from model.embeddings.cache import EmbeddingCache


def test_cache_drops_what_was_used_longest_ago() -> None:
    cache = EmbeddingCache(capacity=3 * 40)
    for key in "abc":
        cache.put(key, torch.zeros(10))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(10))
    assert cache.get("b") is None
    assert all(cache.get(key) is not None for key in "acd")
    cache.put("huge", torch.zeros(1000))
    assert cache.get("huge") is None
    assert (cache.hits, cache.misses) == (4, 2)
