import numpy as np

from workers.embedding_cache import BYTES_PER_ENTRY, CachedVectors, EmbeddingCache


def vectors(tokens: int = 2) -> CachedVectors:
    return CachedVectors(np.zeros(8, np.float32), np.zeros((tokens, 8), np.float16))


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    cache = EmbeddingCache(2)
    cache.put("a", vectors())
    cache.put("b", vectors())
    cache.get("a")
    cache.put("c", vectors())
    assert cache.get("b") is None and cache.get("a") is not None and cache.get("c") is not None


def test_long_questions_cost_their_bytes() -> None:
    cache = EmbeddingCache(4)
    long = vectors(tokens=2 * BYTES_PER_ENTRY // 16)
    for text in "abc":
        cache.put(text, long)
    assert len(cache) == 1 and cache.get("c") is long


def test_a_text_put_again_counts_once() -> None:
    cache = EmbeddingCache(1)
    for _ in range(5000):
        cache.put("a", vectors())
    assert cache.get("a") is not None


def test_no_entries_means_no_cache() -> None:
    cache = EmbeddingCache(0)
    cache.put("a", vectors())
    assert cache.get("a") is None
