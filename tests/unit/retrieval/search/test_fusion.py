"""How scores of words and vectors become one order."""

from __future__ import annotations

import json

import pytest

from apps.retrieval.search.fusion import (
    Evidence,
    Scored,
    dump_fusion,
    evidence_of,
    fallback,
    fuse,
    load_fusion,
    parse_fusion,
    weighted_parts,
)
from core.config import Settings

SHIPPED = "multilingual-e5-small@0db63e48749a-64b2e765"


def test_the_default_encoder_has_fitted_weights() -> None:
    fusion = load_fusion(SHIPPED)
    assert fusion.encoder.startswith(Settings().encoder) and not fusion.spread
    assert load_fusion("another folder's name@0db63e48749a-64b2e765") == fusion
    assert all(weights.cosine > 0 and weights.bm25 > 0 for weights in fusion.weights.values())


def test_scores_are_the_sum_of_their_parts() -> None:
    fusion = load_fusion(SHIPPED)
    scored = [Scored(1, 0.8, 0.3, 0.7, 0.6), Scored(2, 0.9, 0.0, 0.5, 0.3)]
    assert fuse(scored, fusion).tolist() == pytest.approx([sum(weighted_parts(one, fusion).values()) for one in scored], rel=1e-5)


def test_one_passage_without_tokens_leaves_tokens_out_for_all() -> None:
    assert evidence_of([Scored(1, 0.8, 0.3, 0.7), Scored(2, 0.9, 0.0)]) is Evidence.VECTORS


def test_without_a_cosine_words_decide_alone() -> None:
    assert fuse([Scored(1, None, 0.3), Scored(2, 0.99, 0.1)], load_fusion(SHIPPED)).tolist() == pytest.approx([0.3, 0.1])


def test_an_unknown_encoder_gets_scores_stretched_and_equal_weights() -> None:
    scores = fuse([Scored(1, 0.91, 0.0), Scored(2, 0.90, 0.4), Scored(3, 0.86, 0.6)], load_fusion("unknown@1"))
    assert scores.tolist() == pytest.approx([0.5, 0.7333, 0.5], abs=1e-4)


def test_nothing_found_is_nothing_fused() -> None:
    assert fuse([], fallback()).tolist() == []


def test_weights_survive_their_file() -> None:
    fusion = load_fusion(SHIPPED)
    assert parse_fusion(dump_fusion(fusion)) == fusion
    with pytest.raises(KeyError):
        parse_fusion(json.dumps({"encoder": "x"}))
