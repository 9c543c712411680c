"""How well the words of two texts meet: late interaction over token vectors (MaxSim of ColBERT, Khattab & Zaharia 2020).

Each token of one text takes its best cosine among the tokens of the other; the score is their mean, so it lies in -1..1
whatever the length. Token matrices are float with unit rows, or int8 from `quantize`, a quarter of the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.types import FloatArray

TokenMatrix: TypeAlias = "NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]"


def quantize(token_vectors: FloatArray) -> NDArray[np.int8]:
    """int8[tokens, dim] for rows of any length: each row by its own largest value, which unit length later undoes."""
    largest = np.abs(token_vectors).max(axis=1, keepdims=True, initial=1e-12)
    return np.asarray(np.rint(token_vectors * (127.0 / largest)), dtype=np.int8)


def maxsim(query_tokens: FloatArray, passages: Sequence[TokenMatrix], *, query_weights: FloatArray | None = None) -> FloatArray:
    """float32[passages]: the (weighted) mean over the query's tokens of each one's best cosine in the passage; 0 where either is empty.

    Half the work of `maxsim_both`: one direction, and the products are scaled instead of the rows.
    """
    scores = np.zeros(len(passages), np.float32)
    filled = [index for index, passage in enumerate(passages) if len(passage)]
    if not filled or not len(query_tokens):
        return scores
    rows = np.concatenate([passages[index] for index in filled]).astype(np.float32, copy=False)
    cosines = query_tokens @ rows.T
    if any(passages[index].dtype == np.int8 for index in filled):
        cosines /= np.sqrt(np.einsum("ij,ij->i", rows, rows)) + 1e-12
    starts = np.cumsum([0, *(len(passages[index]) for index in filled[:-1])])
    weights = np.ones(len(query_tokens), np.float32) if query_weights is None else query_weights
    scores[filled] = (weights @ np.maximum.reduceat(cosines, starts, axis=1)) / weights.sum()
    return scores


def maxsim_near(
    query_tokens: FloatArray, passages: Sequence[TokenMatrix], *, window: int, query_weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """(whole, near), each float32[passages]: `maxsim`, and its greatest value within `window` tokens in a row.

    The second asks whether the query's tokens are met close together, in a sentence rather than all over the passage. Windows
    begin at every half of their length; the best in each half is found once and serves two windows and the whole.
    """
    whole, near = np.zeros(len(passages), np.float32), np.zeros(len(passages), np.float32)
    filled = [index for index, passage in enumerate(passages) if len(passage)]
    if not filled or not len(query_tokens):
        return whole, near
    rows = np.concatenate([passages[index] for index in filled]).astype(np.float32, copy=False)
    cosines = query_tokens @ rows.T
    if any(passages[index].dtype == np.int8 for index in filled):
        cosines /= np.sqrt(np.einsum("ij,ij->i", rows, rows)) + 1e-12
    half = max(1, window // 2)
    lengths = [len(passages[index]) for index in filled]
    first_row = np.cumsum([0, *lengths[:-1]])
    counts = [-(-length // half) for length in lengths]
    first_half = np.cumsum([0, *counts[:-1]])
    starts = np.concatenate([start + half * np.arange(count) for start, count in zip(first_row, counts, strict=True)])
    best = np.maximum.reduceat(cosines, starts, axis=1)
    pairs = np.maximum(best, np.concatenate([best[:, 1:], best[:, -1:]], axis=1))
    ends = first_half + np.array(counts) - 1
    pairs[:, ends] = best[:, ends]  # the last half of a passage has no half after it
    weights = np.ones(len(query_tokens), np.float32) if query_weights is None else query_weights
    whole[filled] = (weights @ np.maximum.reduceat(best, first_half, axis=1)) / weights.sum()
    near[filled] = np.maximum.reduceat(weights @ pairs, first_half) / weights.sum()
    return whole, near


def maxsim_both(
    query_tokens: FloatArray,
    passages: Sequence[TokenMatrix],
    *,
    query_weights: FloatArray | None = None,
    passage_weights: Sequence[FloatArray] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """(query to passage, passage to query), each float32[passages].

    The first asks whether everything in the query is met, the second whether everything in the passage is. Weights, one
    above 0 for each token, make the means weighted: what a token says counts, where "the" counts for little.
    """
    forward, backward = np.zeros(len(passages), np.float32), np.zeros(len(passages), np.float32)
    filled = [index for index, passage in enumerate(passages) if len(passage)]
    if not filled or not len(query_tokens):
        return forward, backward
    lengths = np.array([len(passages[index]) for index in filled])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    cosines = query_tokens @ unit_rows([passages[index] for index in filled]).T
    from_query = np.ones(len(query_tokens), np.float32) if query_weights is None else query_weights
    from_passage = (
        np.ones(int(lengths.sum()), np.float32) if passage_weights is None else np.concatenate([passage_weights[index] for index in filled])
    )
    forward[filled] = (from_query @ np.maximum.reduceat(cosines, starts, axis=1)) / from_query.sum()
    backward[filled] = np.add.reduceat(cosines.max(axis=0) * from_passage, starts) / np.add.reduceat(from_passage, starts)
    return forward, backward


def unit_rows(passages: Sequence[TokenMatrix]) -> FloatArray:
    """All rows as one float32 matrix; int8 rows brought back to unit length."""
    rows = np.concatenate(passages).astype(np.float32, copy=False)
    if any(passage.dtype == np.int8 for passage in passages):
        rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None] + 1e-12
    return rows
