"""Where the words of a question are marked in a text."""

from __future__ import annotations

import pytest

from apps.retrieval.search.highlights import SNIPPET_CHARS, matching_spans, snippets


def marked(question: str, text: str) -> list[str]:
    return [text[start:end] for start, end in matching_spans(question, text)]


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("how are costs refunded", "A refund of each COST, refunding it.", ["refund", "COST", "refunding"]),
        ("年假有几天", "员工每年有十天年假。", ["年假"]),
        ("网络", "網絡不通", ["網絡"]),
        ("資料庫", "数据库的备份", ["数据库"]),
        ("ＶＰＮ", "the vpn", ["vpn"]),
        ("the of", "the end of it", ["the", "of"]),
        ("bridge", "nothing here", []),
        ("", "text", []),
    ],
)
def test_words_are_marked_in_any_form(question: str, text: str, words: list[str]) -> None:
    assert marked(question, text) == words


def test_offsets_are_those_of_the_text_as_it_is_written() -> None:
    text = "ﬁrst ｖｐｎ then 網絡"
    assert marked("vpn 网络", text) == ["ｖｐｎ", "網絡"]


def test_neighbouring_words_are_one_mark() -> None:
    assert marked("年假申请", "请提交年假申请表") == ["年假申请"]


def test_snippets_are_the_sentences_with_most_of_the_words_in_reading_order() -> None:
    text = "The sea is wide. A bridge is open. Nobody came. The new bridge of the city is open."
    assert [piece.text for piece in snippets("new city bridge", text)] == ["A bridge is open.", "The new bridge of the city is open."]


def test_a_text_without_the_words_shows_its_beginning() -> None:
    (piece,) = snippets("bridge", "Seas\nThe sea is wide. The sea is deep. " + "Few have seen its ground. " * 20)
    assert piece.text.startswith("Seas\nThe sea is wide. The sea is deep. Few") and piece.text.endswith("ground.")
    assert len(piece.text) <= SNIPPET_CHARS and piece.marks == ()


def test_marks_lie_inside_their_snippet() -> None:
    for piece in snippets("bridge", "bridge " * 200):
        assert len(piece.text) <= SNIPPET_CHARS
        assert all(piece.text[start:end].strip() for start, end in piece.marks)
