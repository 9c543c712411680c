"""Model numbers in another way of writing: parted and joined as the entries have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from apps.retrieval.query_layer.codes import code_form


def frequencies(*known: str) -> object:
    def count(terms: Sequence[str]) -> Mapping[str, int]:
        return {term: 1 for term in terms if term in known}

    return count


@pytest.mark.parametrize(
    ("typed", "known", "written"),
    [
        ("bc310的质保期多久", ("bc", "310"), "bc-310的质保期多久"),
        ("warranty of bc-310", ("bc310",), "warranty of bc310"),
        ("bc 310 and sv2", ("bc310", "sv", "2"), "bc310 and sv-2"),
        ("3m tape", ("3", "m"), "3-m tape"),
    ],
)
def test_a_code_is_written_as_the_entries_have_it(typed: str, known: Sequence[str], written: str) -> None:
    assert code_form(typed, frequencies(*known)) == written


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("bc310的质保期", ("bc310", "bc", "310")),
        ("bc310", ("bc",)),
        ("bc-310", ("bc310", "bc", "310")),
        ("annual leave", ("annual",)),
        ("ab12cd", ("ab", "12", "cd")),
    ],
)
def test_what_the_entries_have_as_typed_or_not_at_all_stays(typed: str, known: Sequence[str]) -> None:
    assert code_form(typed, frequencies(*known)) is None
