from __future__ import annotations

import torch

from workers.kv_cache import GRAIN, CacheShape, KeyValueCache, shared_length

SHAPE = CacheShape(layers=2, kv_heads=1, head_dim=2, max_rows=4, max_bytes=4 * GRAIN * 32, dtype=torch.float32, device=torch.device("cpu"))


def fill(cache: KeyValueCache, prompt: list[int]) -> int:
    """Takes a text in and writes its token numbers as its keys and values."""
    assert cache.reserve(len(prompt) + 1)
    row, shared = cache.activate(prompt)
    for layer in range(2):
        for part in cache.layer(layer):
            part[row, 0, shared : len(prompt)] = torch.tensor(prompt[shared:], dtype=torch.float32)[:, None]
    cache.held[row].extend(prompt[shared:])
    return shared


def content(cache: KeyValueCache, row: int) -> list[int]:
    keys, values = cache.layer(1)
    tokens = len(cache.held[row])
    assert torch.equal(keys[row, 0, :tokens], values[row, 0, :tokens])
    return [int(number) for number in keys[row, 0, :tokens, 0]]


def test_the_budget_is_that_of_the_shape() -> None:
    assert SHAPE.token_bytes == 32 and SHAPE.max_tokens == 4 * GRAIN


def test_what_a_row_holds_is_what_was_written_whoever_leaves() -> None:
    cache = KeyValueCache(SHAPE)
    prompts = [list(range(start, start + 30)) for start in (100, 200, 300)]
    for prompt in prompts:
        assert fill(cache, prompt) == 0
    assert cache.retire(0) == 2
    assert cache.active == 2
    assert [content(cache, row) for row in range(2)] == [prompts[2], prompts[1]]


def test_a_prompt_that_begins_alike_goes_on_from_an_ended_text() -> None:
    cache = KeyValueCache(SHAPE)
    fill(cache, list(range(40)))
    fill(cache, list(range(500, 540)))
    cache.retire(0)
    assert fill(cache, [*range(30), 7, 8]) == 30
    assert content(cache, 1) == [*range(30), 7, 8]


def test_a_prompt_that_begins_alike_copies_from_a_text_being_written() -> None:
    cache = KeyValueCache(SHAPE)
    fill(cache, list(range(40)))
    assert fill(cache, list(range(40))) == 39
    assert content(cache, 0) == content(cache, 1) == list(range(40))


def test_a_few_common_tokens_are_not_worth_it() -> None:
    cache = KeyValueCache(SHAPE)
    fill(cache, list(range(40)))
    assert fill(cache, [*range(10), *range(900, 930)]) == 0


def test_longer_texts_leave_room_for_fewer() -> None:
    cache = KeyValueCache(SHAPE)
    assert cache.reserve(2 * GRAIN)
    cache.activate([1])
    assert cache.reserve(2 * GRAIN)
    cache.activate([2])
    assert not cache.reserve(2 * GRAIN)


def test_a_cache_that_grows_keeps_what_it_holds_and_shrinks_again() -> None:
    cache = KeyValueCache(SHAPE)
    fill(cache, list(range(40)))
    assert cache.reserve(3 * GRAIN) is False  # one row of that length, and it is taken
    assert cache.reserve(2 * GRAIN)
    assert content(cache, 0) == list(range(40))
    cache.retire(0)
    assert cache.reserve(4 * GRAIN)
    for number in range(4):
        fill(cache, [number] * 20)
    assert cache.active == 4


def test_the_common_beginning_of_two_lists() -> None:
    assert [shared_length(*pair) for pair in (([], [1]), ([1, 2], [1, 3]), ([1, 2], [1, 2, 3]))] == [0, 1, 2]
