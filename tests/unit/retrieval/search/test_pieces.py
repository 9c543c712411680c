"""What can be shown of a passage: its sentences, and the rows of its tables."""

from __future__ import annotations

from apps.retrieval.search.led_lists import led_lists
from apps.retrieval.search.pieces import MAX_SENTENCE_CHARS, pieces_of
from core.sentences import sentence_spans

TEXT = "Prices change in May. Ask us.\n\nModel | Note | Price\nX1 | New. Sold by post. | €9\nX2 | Old. | €5\n\nWe are closed on Sundays."


def test_a_row_is_one_piece_whatever_its_cells_hold() -> None:
    said = [TEXT[one.start : one.end] for one in pieces_of(TEXT, "")]
    assert said[2:5] == ["Model | Note | Price", "X1 | New. Sold by post. | €9", "X2 | Old. | €5"]
    assert said[:2] + said[5:] == ["Prices change in May.", "Ask us.", "We are closed on Sundays."]


def test_the_header_stands_apart() -> None:
    assert [TEXT[one.start : one.end] for one in pieces_of(TEXT, "") if one.apart] == ["Model | Note | Price"]


def test_a_long_row_is_read_by_the_sentences_of_its_cells() -> None:
    long = "It is said at length. " * 20 + "It ends here."
    text = f"Question | Answer\nHow? | {long}\nWhy? | So."
    said = [text[one.start : one.end] for one in pieces_of(text, "")]
    assert said[1:4] == ["How?", "It is said at length.", "It is said at length."] and said[-2:] == ["It ends here.", "Why? | So."]


def test_without_a_table_pieces_are_sentences() -> None:
    text = "一句话。 Two of them. And a | bar.\n\nA third"
    assert [(one.start, one.end) for one in pieces_of(text, "")] == list(sentence_spans(text))


def test_a_sentence_too_long_to_show_is_several_pieces() -> None:
    assert [(one.start, one.end) for one in pieces_of("a" * 700, "")] == [(0, MAX_SENTENCE_CHARS), (MAX_SENTENCE_CHARS, 700)]


def test_long_white_space_costs_no_more_than_its_length() -> None:
    text = f"Price | Note\n{' ' * 300_000}\nX1 | 9{' ' * 300_000}\nX2 | 8"
    assert len(pieces_of(text, "")) == 3 and list(led_lists(text, "")) == []
