import numpy as np
import pytest

from core.maxsim import maxsim, maxsim_both, maxsim_near, quantize

X, Y, Z = np.eye(3, dtype=np.float32)


def random_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 64)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_each_side_asks_whether_it_is_met_by_the_other() -> None:
    to_passage, to_query = maxsim_both(np.stack([X, Y]), [np.stack([X]), np.stack([X, Y, Z, Z])])
    assert to_passage.tolist() == [0.5, 1.0]
    assert to_query.tolist() == [1.0, 0.5]


def test_it_equals_the_plain_loop() -> None:
    query, passages = random_rows(5, 1), [random_rows(count, count) for count in (1, 7, 30)]
    expected = [np.mean([max(float(token @ row) for row in passage) for token in query]) for passage in passages]
    np.testing.assert_allclose(maxsim(query, passages), expected, atol=1e-6)


def test_int8_rows_are_nearly_as_good() -> None:
    query, passages = random_rows(12, 1), [random_rows(40, seed) for seed in range(2, 8)]
    np.testing.assert_allclose(maxsim(query, [quantize(rows) for rows in passages]), maxsim(query, passages), atol=2e-3)


@pytest.mark.parametrize("empty", [np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int8)])
def test_nothing_meets_nothing(empty: np.ndarray) -> None:
    assert maxsim(np.stack([X]), [empty, np.stack([X])]).tolist() == [0.0, 1.0]
    assert maxsim(np.zeros((0, 3), np.float32), [np.stack([X])]).tolist() == [0.0]
    assert maxsim(np.stack([X]), []).shape == (0,)


@pytest.mark.parametrize("form", [lambda rows: rows, quantize])
def test_one_direction_alone_is_that_of_both(form) -> None:
    query, passages = random_rows(6, 1), [form(random_rows(count, count)) for count in (3, 1, 20)]
    weights = np.linspace(0.5, 2, 6, dtype=np.float32)
    both, _ = maxsim_both(query, passages, query_weights=weights)
    np.testing.assert_allclose(maxsim(query, passages, query_weights=weights), both, atol=1e-6)


@pytest.mark.parametrize("form", [lambda rows: rows, quantize])
@pytest.mark.parametrize("window", [1, 2, 7, 8, 100])
def test_near_is_the_best_window_that_begins_at_a_half(form, window: int) -> None:
    query, passages = random_rows(6, 1), [form(random_rows(count, count)) for count in (3, 1, 20, 8)]
    weights, half = np.linspace(0.5, 2, 6, dtype=np.float32), max(1, window // 2)
    whole, near = maxsim_near(query, passages, window=window, query_weights=weights)
    windows = [[rows[start : start + 2 * half] for start in range(0, len(rows), half)] for rows in passages]
    expected = [max(maxsim(query, cut, query_weights=weights)) for cut in windows]
    np.testing.assert_allclose(whole, maxsim(query, passages, query_weights=weights), atol=1e-6)
    np.testing.assert_allclose(near, expected, atol=1e-6)


def test_nothing_is_near_nothing() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert [part.tolist() for part in maxsim_near(np.stack([X]), [empty, np.stack([Y, X])], window=2)] == [[0.0, 1.0], [0.0, 1.0]]
    assert maxsim_near(empty, [np.stack([X])], window=2)[1].tolist() == [0.0]
