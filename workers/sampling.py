"""Which token comes next: the likeliest, or one drawn by temperature and nucleus (top-p, Holtzman et al. 2020)."""

from __future__ import annotations

import secrets

import torch
from torch import Tensor

_NUCLEUS = 1024
_LEAST_TEMPERATURE = 1e-6  # below, scores divided by it may have no number: all but the likeliest have no chance long before


class Sampler:
    """Draws the tokens of one text. The same seed over the same scores draws the same tokens, whatever else is written meanwhile."""

    def __init__(self, *, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature, self._top_p = max(temperature, _LEAST_TEMPERATURE), top_p
        self._random: torch.Generator | None = None
        if temperature > 0:
            self._random = torch.Generator()
            self._random.manual_seed(secrets.randbits(63) if seed is None else seed % 2**63)

    @property
    def is_greedy(self) -> bool:
        """Whether it always takes the likeliest."""
        return self._random is None

    def draw(self, scores: Tensor) -> int:
        """A token by float32 scores [vocabulary]."""
        if self._random is None:
            return int(scores.argmax())
        chances = torch.softmax(scores.cpu() / self._temperature, dim=-1)
        if self._top_p >= 1:
            return int(torch.multinomial(chances, 1, generator=self._random))
        best, tokens = chances.topk(min(_NUCLEUS, len(chances)))
        if float(best.sum()) < self._top_p:
            best, tokens = chances.sort(descending=True)
        before = best.cumsum(0) - best
        best = best.masked_fill(before >= self._top_p, 0)
        best[0] = max(float(best[0]), torch.finfo(torch.float32).tiny)
        return int(tokens[torch.multinomial(best, 1, generator=self._random)])
