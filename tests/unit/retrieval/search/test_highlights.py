"""Where the words of a question are marked in a text."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ("軟體", "這個軟體，这个软件", ["軟體", "软件"]),
        ("软件", "這個軟體很好", ["軟體"]),
        ("程序", "按审批程序办理", ["程序"]),
        ("硬碟 記憶體", "換了硬碟與記憶體", ["硬碟", "記憶體"]),
        ("内存 互联网", "記憶體不足，網際網路時代", ["記憶體", "網際網路"]),
        ("café", "the cafe\u0301 and the CAFÉ", ["cafe\u0301", "CAFÉ"]),
        ("𠮷野家", "去𠮷野家😀吃饭", ["𠮷野家"]),
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
        assert {piece.text[start:end] for start, end in piece.marks} == {"bridge"} and not piece.text.startswith(" ")


@pytest.mark.parametrize("seen", ["👩\u200d👩\u200d👧", "👍\U0001f3fd", "e\u0301", "𠮷"])
def test_a_snippet_ends_with_a_whole_character(seen: str) -> None:
    for lead in range(8):
        text = "年" * lead + seen * 400
        pieces = [piece.text for piece in snippets("年假", text)]
        assert pieces and all(piece.removeprefix("年" * lead).replace(seen, "") == "" for piece in pieces)


def test_a_letter_is_marked_with_all_its_accents() -> None:
    assert matching_spans("a é", "\u00e9\u0301 b") == [(0, 2)]


@settings(deadline=None)
@given(
    st.text(alphabet="軟體記憶網際網路程式公車很好，。 aéE\u0301ﬁＡ硬碟物件伺服器資訊的了𠮷😀\n", max_size=60),
    st.sampled_from(["軟體", "内存", "程式", "a é", "网络 公车"]),
)
def test_marks_are_in_order_apart_and_within_the_text(text: str, question: str) -> None:
    spans = matching_spans(question, text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before < after for (_, before), (after, _) in pairwise(spans))
    assert not any(unicodedata.combining(text[end]) for _, end in spans if end < len(text))
