"""Is a mean certain, and is one run really better than another? Bootstrap intervals and a paired randomisation test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000
CONFIDENCE = 0.95
_CHUNK = 100


def interval(scores: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of the mean over questions, by bootstrap percentiles (Efron 1979)."""
    if not scores:
        return 0.0, 0.0
    values = np.asarray(scores, dtype=np.float64)
    random = np.random.default_rng(seed)
    means = np.concatenate([values[random.integers(0, len(values), (_CHUNK, len(values)))].mean(axis=1) for _ in range(SAMPLES // _CHUNK)])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_p_value(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> float:
    """How likely a difference of means this large is where both runs are equally good, for the same questions in the same order.

    Two-sided randomisation test: each question's two scores are swapped by chance (Smucker et al., CIKM 2007). The least
    value is 1 / (samples + 1). Raises ValueError where the runs are not of the same length.
    """
    if len(first) != len(second):
        raise ValueError(f"Runs over {len(first)} and {len(second)} questions cannot be paired.")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    observed = abs(differences.sum())
    random = np.random.default_rng(seed)
    extreme = sum(_extreme(differences, observed, random) for _ in range(SAMPLES // _CHUNK))
    return float((extreme + 1) / (SAMPLES + 1))


def _extreme(differences: NDArray[np.float64], observed: float, random: np.random.Generator) -> int:
    signs = random.integers(0, 2, (_CHUNK, len(differences)), dtype=np.int8) * 2 - 1
    return int((np.abs(signs @ differences) >= observed - 1e-12).sum())
