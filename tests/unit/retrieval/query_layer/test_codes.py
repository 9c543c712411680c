"""Model numbers in another way of writing: parted and joined as the entries have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from apps.retrieval.query_layer.codes import code_form, codes_named, codes_written


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


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        ("how heavy is the cx-9?", {"cx9"}),
        ("bc310的质保期多久", {"bc310"}),
        ("is fd-50b dearer than uv480?", {"fd50", "uv480"}),
        ("q3 sales on a4 paper since mid-1990 in 2019, where p-1", set()),
        ("top-10 reasons, no-2 pencils", set()),
    ],
)
def test_the_codes_that_a_question_names(question: str, codes: set[str]) -> None:
    assert codes_named(question) == codes


def test_a_code_is_the_same_however_it_is_written() -> None:
    assert codes_written("bc-310, uv 480 and e_31, cx9b") >= {"bc310", "uv480", "e31", "cx9"}
