from __future__ import annotations

import pytest
import torch

from workers.sampling import Sampler

SCORES = torch.tensor([0.1, 3.0, 2.0, -4.0, 2.9])


def draws(
    count: int = 200, scores: torch.Tensor = SCORES, *, temperature: float = 1.0, top_p: float = 1.0, seed: int | None = 7
) -> list[int]:
    sampler = Sampler(temperature=temperature, top_p=top_p, seed=seed)
    return [sampler.draw(scores) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(draws(temperature=0)) == {1}
    assert Sampler(temperature=0, top_p=0.5, seed=1).is_greedy


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert draws() == draws() != draws(seed=8)
    assert draws(seed=None) != draws(seed=None)


def test_tokens_are_drawn_as_often_as_their_chance() -> None:
    drawn = torch.bincount(torch.tensor(draws(8000)), minlength=5) / 8000
    torch.testing.assert_close(drawn, torch.softmax(SCORES, dim=0), atol=0.02, rtol=0)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    scores = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    assert set(draws(scores=scores, top_p=0.5)) == {0}
    assert set(draws(scores=scores, top_p=0.6)) == {0, 1}
    assert set(draws(scores=scores, top_p=0.9)) == {0, 1, 2}
    assert set(draws(scores=scores, top_p=1e-9)) == {0}


def test_a_nucleus_beyond_the_first_thousand_is_found() -> None:
    drawn = draws(2000, torch.zeros(5000), top_p=0.9)
    assert len(set(drawn)) > 1200


def test_a_low_temperature_is_nearly_greedy() -> None:
    assert set(draws(temperature=0.01)) == {1}


@pytest.mark.parametrize("temperature", [1e-9, 1e-45, 5e-324])
def test_a_temperature_near_nothing_is_greedy_and_breaks_nothing(temperature: float) -> None:
    assert set(draws(20, 1000 * SCORES, temperature=temperature)) == {1}
    assert set(draws(20, 1000 * SCORES, temperature=temperature, top_p=0.5)) == {1}
