"""Which of the waiting items go into the next batch: the oldest, and those nearest to it in length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

FREE_PADDING_TOKENS = 32

Waiter = TypeVar("Waiter")


def choose_batch(waiting: Sequence[Waiter], max_tokens: int, tokens: Callable[[Waiter], int], *, max_padding: float = 1.0) -> list[Waiter]:
    """The oldest of `waiting` (its first) and those nearest to it in length, in order of their arrival.

    They stay within `max_tokens` padded tokens, and padding within `max_padding` times the real tokens once it matters at
    all; the oldest goes even where it alone is longer.
    """
    if not waiting:
        return []
    first = tokens(waiting[0])
    order = sorted(range(1, len(waiting)), key=lambda index: abs(tokens(waiting[index]) - first))
    chosen, longest, real = [0], first, first
    for index in order:
        cost = tokens(waiting[index])
        padded = max(longest, cost) * (len(chosen) + 1)
        if padded > max_tokens or padded > (1 + max_padding) * (real + cost) + FREE_PADDING_TOKENS:
            break
        chosen.append(index)
        longest, real = max(longest, cost), real + cost
    return [waiting[index] for index in sorted(chosen)]
