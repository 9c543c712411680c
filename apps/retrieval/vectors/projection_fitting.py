"""Which 128 directions of an encoder's token vectors are worth storing, and which of them tell rare words from common ones?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.retrieval.vectors.token_vectors import TokenProjection
from core.types import FloatArray

KEPT = 128
RIDGE = 30.0


def fit_projection(encoder: str, token_vectors: Sequence[FloatArray], token_names: Sequence[Sequence[str]]) -> TokenProjection:
    """The principal components of the centred token vectors of some texts, and a ridge regression from them to idf.

    `token_vectors` holds float32[tokens, dim] for each text and `token_names` what each token is, for counting texts.
    """
    rows = np.concatenate(token_vectors).astype(np.float64)
    mean = rows.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov((rows - mean).T))
    components = directions[:, np.argsort(-values)[:KEPT]]
    projected = (rows - mean) @ components
    projected /= np.linalg.norm(projected, axis=1, keepdims=True) + 1e-9
    weights, bias = _ridge(projected, _idf(token_names))
    return TokenProjection(
        encoder=encoder,
        mean=mean.astype(np.float32),
        components=components.astype(np.float32),
        idf=weights.astype(np.float32),
        idf_bias=bias,
    )


def _idf(token_names: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    texts = Counter(name for names in token_names for name in set(names))
    return np.log(len(token_names) / np.array([texts[name] for names in token_names for name in names], dtype=np.float64))


def _ridge(rows: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    mean = rows.mean(axis=0)
    centred = rows - mean
    weights = np.linalg.solve(centred.T @ centred + RIDGE * np.eye(rows.shape[1]), centred.T @ (target - target.mean()))
    return weights, float(target.mean() - mean @ weights)
