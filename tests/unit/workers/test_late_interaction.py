"""Does late interaction score as MaxSim says, and ask the encoder no more than it must?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from core.maxsim import maxsim
from core.types import FloatArray, Role
from tests.encoders import HashingEncoder
from workers.late_interaction import LateInteraction, PendingTokens
from workers.pending import Pending
from workers.reranker import LocalReranker

PASSAGES = ["reset the password", "annual leave", "canteen"]


class Asked:
    """Hands texts to an encoder and remembers which."""

    def __init__(self) -> None:
        self.encoder = HashingEncoder()
        self.passages: list[str] = []
        self.done: dict[Role, Future[None]] = {}

    def __call__(self, texts: Sequence[str], role: Role) -> PendingTokens:
        self.passages += texts if role is Role.PASSAGE else []
        return Pending(lambda: self.tokens(texts, role), [self.done[role]] if role in self.done else [])

    def tokens(self, texts: Sequence[str], role: Role) -> list[FloatArray]:
        return [tokens for _, tokens in self.encoder.encode_tokens(texts, role)]


def test_scores_are_maxsim_over_the_encoders_token_vectors() -> None:
    encoder = HashingEncoder()
    tokens = [tokens for _, tokens in encoder.encode_tokens(PASSAGES, Role.PASSAGE)]
    query = encoder.encode_query("password reset").token_vectors
    assert query is not None
    np.testing.assert_allclose(LocalReranker(encoder).score("password reset", PASSAGES), maxsim(query, tokens), atol=1e-3)


def test_a_passage_is_encoded_once() -> None:
    asked, reranker = Asked(), LateInteraction()
    first = reranker.begin("password", [*PASSAGES, PASSAGES[0]], "m", asked).make()
    again = reranker.begin("password", PASSAGES, "m", asked).make()
    assert asked.passages == PASSAGES
    np.testing.assert_allclose(first[:3], again, atol=1e-6)


def test_scores_are_ready_once_question_and_passages_are_encoded() -> None:
    asked, reranker = Asked(), LateInteraction()
    asked.done = {Role.QUERY: Future(), Role.PASSAGE: Future()}
    scores = reranker.begin("password", PASSAGES, "m", asked)
    asked.done[Role.QUERY].set_result(None)
    assert not scores.is_ready()
    asked.done[Role.PASSAGE].set_result(None)
    assert scores.is_ready() and scores.make().shape == (3,)


def test_another_encoders_vectors_are_not_used() -> None:
    asked, reranker = Asked(), LateInteraction()
    reranker.begin("password", PASSAGES, "one", asked).make()
    reranker.begin("password", PASSAGES, "another", asked).make()
    assert asked.passages == PASSAGES * 2


def test_what_is_kept_is_bounded_in_bytes() -> None:
    asked, reranker = Asked(), LateInteraction(cache_bytes=4000)
    for number in range(50):
        reranker.begin("password", [f"passage {number}"], "m", asked).make()
    reranker.begin("password", ["passage 49", "passage 0"], "m", asked).make()
    assert asked.passages[50:] == ["passage 0"]
