"""What an answer out of documents shows of its sources, word for word and in its place."""

from __future__ import annotations

import pytest

from apps.retrieval.search.answering import Reading, Sentence
from apps.retrieval.search.hybrid import PassageHit
from apps.retrieval.search.pieces import pieces_of
from apps.retrieval.search.stored_passages import StoredPassage
from apps.retrieval.skill import SNIPPET_CHARS, answer_of, sources_of


def reading_of(text: str, *places: int) -> Reading:
    """What is read where these pieces of a passage are the answer."""
    passage = StoredPassage(
        id=1, document_id=1, document="d", title="", heading="", text=text, start=100, end=100 + len(text), page=None, later_pages="", url="",
        language="", author="", category="", tags=(), date=None,
    )  # fmt: skip
    hit, pieces = PassageHit(passage=passage, score=1.0, cosine=0.9, bm25=0.0), pieces_of(text, "")
    chosen = [pieces[place] for place in places]
    sentences = tuple(Sentence(hit=hit, start=one.start, end=one.end, score=1.0, words=1.0, met=1.0, whole=one.row) for one in chosen)
    return Reading(sentences=sentences, confidence=0.9, accepted=True, reasons={})


@pytest.mark.parametrize(
    ("word", "answer"),
    [("harbour", "It ends at the pier."), ("façadéœuvre", "Elle finit là."), ("пристань", "Она там."), ("αποβάθρα", "Είναι εκεί.")],
)
def test_a_snippet_begins_between_words_of_any_script(word: str, answer: str) -> None:
    for shift in range(len(word) + 1):
        text = f"{'x' * shift} {f'{word} ' * 60}\n\n{answer}"
        [source] = sources_of(reading_of(text, -1))
        assert source.text.split()[0] == word
        assert len(source.text) > SNIPPET_CHARS - 2 * len(word) and source.text.endswith(answer)


def test_a_snippet_of_chinese_begins_anywhere() -> None:
    [source] = sources_of(reading_of(f"{'山水之间' * 120}\n\n在这里。", -1))
    assert len(source.text) == SNIPPET_CHARS and source.text.endswith("在这里。")


def test_a_letter_keeps_its_accent() -> None:
    text = "e\u0301" * 300 + "\n\nFin."
    [source] = sources_of(reading_of(text, -1))
    assert not source.text.startswith("\u0301")


def test_the_cells_of_a_row_are_marked_in_the_source_and_stand_in_the_answer() -> None:
    text = f"{'Before the table. ' * 30}\n\nModel | Warranty\nX100 | 24 months\nX200 | 36 months"
    reading = reading_of(text, -2)
    [source] = sources_of(reading)
    assert answer_of(reading) == "Model: X100; Warranty: 24 months"
    assert [source.text[start:end] for start, end in source.marks] == ["X100", "24 months"]
    assert text[source.start - 100 : source.end - 100] == source.text


def test_rows_stand_in_lines_of_their_own() -> None:
    text = "Model | Warranty\nX100 | 24 months\nX200 | 36 months"
    assert answer_of(reading_of(text, 1, 2)) == "Model: X100; Warranty: 24 months\nModel: X200; Warranty: 36 months"


def test_a_group_that_stands_above_the_snippet_is_not_marked_in_it() -> None:
    rows = "\n".join(f" | Town number {place} with a long name | {place * 10} euros" for place in range(1, 20))
    text = f"Zone | Town | Price\nZone 1 | Capital | 5 euros\n{rows}"
    [source] = sources_of(reading_of(text, -1))
    assert [source.text[start:end] for start, end in source.marks] == ["Town number 19 with a long name", "190 euros"]
