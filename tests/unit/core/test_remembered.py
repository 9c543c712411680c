"""What is kept in mind for a moment, and what is not."""

import pytest

from core.remembered import Remembered


def test_a_value_is_loaded_once_while_it_is_fresh():
    loads = []
    kept = Remembered(lambda key: loads.append(key) or len(loads), keep_s=lambda: 60)
    assert [kept.get("a"), kept.get("a"), kept.get("b")] == [1, 1, 2]


def test_nothing_is_kept_for_zero_seconds():
    loads = []
    kept = Remembered(lambda key: loads.append(key) or len(loads), keep_s=lambda: 0)
    assert [kept.get("a"), kept.get("a")] == [1, 2]


def test_the_least_recently_used_is_forgotten_first():
    loads = []
    kept = Remembered(lambda key: loads.append(key) or len(loads), keep_s=lambda: 60, most=2)
    for key in ("a", "b", "a", "c"):
        kept.get(key)
    assert kept.get("a") == 1
    assert kept.get("b") == 4


def test_an_error_is_not_remembered():
    def load(key: str) -> str:
        raise KeyError(key)

    kept = Remembered(load, keep_s=lambda: 60)
    for _ in range(2):
        with pytest.raises(KeyError):
            kept.get("a")
