"""What the generator remembers of its texts: keys and values in rows of one tensor a layer, within a budget of memory.

The texts being written have the first rows, so that a step reads them in place. The other rows keep what ended texts left
there: a prompt that begins alike goes on from it instead of being computed again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GRAIN = 256
MIN_SHARED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheShape:
    """What one token takes, and how much there may be: `max_bytes` in all, for at most `max_rows` texts."""

    layers: int
    kv_heads: int
    head_dim: int
    max_rows: int
    max_bytes: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize

    @property
    def max_tokens(self) -> int:
        """The longest text that the budget allows when it is alone."""
        return max(GRAIN, self.max_bytes // self.token_bytes // GRAIN * GRAIN)


class KeyValueCache:
    """Rows of keys and values. `held[row]` is the tokens whose keys and values are in the row; for one thread alone."""

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        self._clock = itertools.count()
        self.active = 0
        self.held: list[list[int]] = []
        self._used: list[int] = []
        self._rows = self._capacity = 0
        self._keys, self._values = self._empty(0, 0)

    def reserve(self, longest: int) -> bool:
        """Whether one more row can become active when texts grow to `longest` tokens; makes the room."""
        if self.active < self._rows and longest <= self._capacity:
            return True
        capacity = -(-max(longest, 1) // GRAIN) * GRAIN
        rows = min(self._shape.max_rows, self._shape.max_bytes // (capacity * self._shape.token_bytes))
        if self.active == 0:
            rows = max(rows, 1)
        if rows <= self.active:
            return False
        self._allocate(rows, capacity)
        return True

    def activate(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The next active row, holding as much of the prompt's beginning as any row has, and how many tokens that is.

        The last token of a prompt is always left to be computed. Call `reserve` before.
        """
        row, (best, shared) = self.active, self.longest_shared(prompt)
        if shared < MIN_SHARED:
            best, shared = row, 0
        if best < self.active:
            self._swap(self._oldest_idle(), row)
            self._copy(best, row, shared)
        else:
            self._swap(best if shared else self._oldest_idle(), row)
        self.held[row] = list(prompt[:shared])
        self.active += 1
        return row, shared

    def longest_shared(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The row that shares most of the prompt's beginning, but for its last token, and how many tokens that is."""
        lengths = [shared_length(held, prompt[:-1]) for held in self.held]
        best = max(range(self._rows), key=lambda row: (lengths[row], row))
        return best, lengths[best]

    def retire(self, row: int) -> int:
        """Frees an active row; the last active one takes its place. Returns which row that was (the same where none moved)."""
        self.active -= 1
        self._used[row] = next(self._clock)
        self._swap(row, self.active)
        return self.active

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one layer, [rows, kv heads, capacity, head dim]."""
        return self._keys[index], self._values[index]

    def _oldest_idle(self) -> int:
        return min(range(self.active, self._rows), key=lambda row: self._used[row])

    def _swap(self, one: int, other: int) -> None:
        if one == other:
            return
        tokens = max(len(self.held[one]), len(self.held[other]))
        for part in (self._keys, self._values):
            before = part[:, one, :, :tokens].clone()
            part[:, one, :, :tokens] = part[:, other, :, :tokens]
            part[:, other, :, :tokens] = before
        self.held[one], self.held[other] = self.held[other], self.held[one]
        self._used[one], self._used[other] = self._used[other], self._used[one]

    def _copy(self, source: int, target: int, tokens: int) -> None:
        for part in (self._keys, self._values):
            part[:, target, :, :tokens] = part[:, source, :, :tokens]

    def _allocate(self, rows: int, capacity: int) -> None:
        """Another size; what the first rows held stays."""
        keys, values = self._empty(rows, capacity)
        kept = [held[:capacity] for held in self.held[:rows]]
        for row, held in enumerate(kept):
            keys[:, row, :, : len(held)] = self._keys[:, row, :, : len(held)]
            values[:, row, :, : len(held)] = self._values[:, row, :, : len(held)]
        added = rows - len(kept)
        self._keys, self._values = keys, values
        self.held, self._used = kept + [[] for _ in range(added)], self._used[:rows] + [-1] * added
        self._rows, self._capacity = rows, capacity

    def _empty(self, rows: int, capacity: int) -> tuple[Tensor, Tensor]:
        """Zeroed, because even what is masked must be a number. The system gives memory for what is written only."""
        shape = (self._shape.layers, rows, self._shape.kv_heads, capacity, self._shape.head_dim)
        keys, values = (torch.zeros(shape, dtype=self._shape.dtype, device=self._shape.device) for _ in range(2))
        return keys, values


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return index
    return min(len(one), len(other))
