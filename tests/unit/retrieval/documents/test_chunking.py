"""Where documents are cut: exact offsets, whole sentences, headings as context, tables and code in one piece."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.retrieval.documents import chunking
from apps.retrieval.documents.chunking import MAX_TOKENS, chunk_document
from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.sentences import estimate_tokens, sentence_spans

SENTENCE = "The committee met again and agreed on the budget of the next year. "  # about 15 tokens


def paragraph(text: str, page: int | None = None) -> Block:
    return Block(kind=BlockKind.PARAGRAPH, text=text, page=page)


def heading(text: str, level: int = 1) -> Block:
    return Block(kind=BlockKind.HEADING, text=text, level=level)


BLOCKS = st.lists(
    st.builds(
        Block,
        kind=st.sampled_from(list(BlockKind)),
        text=st.one_of(
            st.text(max_size=60),
            st.text(alphabet="ab 中文。，.\n| ", max_size=900),
            st.integers(1, 60).map(lambda n: SENTENCE * n),
            st.integers(1, 700).map(lambda n: "字" * n),
        ),
        level=st.integers(1, 6),
        page=st.one_of(st.none(), st.integers(1, 9)),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_every_passage_is_the_text_between_its_offsets_and_nothing_visible_is_lost(blocks: list[Block]) -> None:
    found = chunk_document(blocks)
    for passage in found.passages:
        assert found.text[passage.start : passage.end] == passage.text == passage.text.strip() != ""
        assert 0 <= passage.section_start <= passage.start < passage.end <= passage.section_end <= len(found.text)
    for before, after in pairwise(found.passages):
        assert before.end <= after.start
        left_out = found.text[before.end : after.start]
        for block in sorted(blocks, key=lambda block: len(block.text), reverse=True):
            left_out = left_out.replace(block.text.strip(), "") if block.kind is BlockKind.HEADING and block.text.strip() else left_out
        assert not left_out.strip()
    assert bool(found.passages) == any(block.text.strip() for block in blocks)


@settings(max_examples=100, deadline=None)
@given(BLOCKS)
def test_no_passage_is_over_the_budget(blocks: list[Block]) -> None:
    assert all(estimate_tokens(passage.text) <= MAX_TOKENS * 1.01 for passage in chunk_document(blocks).passages)


def test_a_short_document_is_one_passage_with_its_headings_inside() -> None:
    found = chunk_document([heading("Leave"), paragraph("Ten days."), heading("Pay"), paragraph("Friday.")])
    assert [passage.text for passage in found.passages] == ["Leave\n\nTen days.\n\nPay\n\nFriday."]


def test_a_passage_names_the_headings_above_it_and_not_the_title() -> None:
    blocks = [heading("Handbook"), heading("Leave", 2), paragraph(SENTENCE * 20), heading("Pay", 2), paragraph(SENTENCE * 20)]
    blocks += [heading("Dates", 3), paragraph(SENTENCE * 20)]
    found = chunk_document(blocks, title="Handbook").passages
    assert [passage.heading for passage in found] == ["Leave", "Pay", "Pay > Dates"]
    assert all(passage.text.startswith("The committee") for passage in found)


def test_small_sections_share_a_passage_under_the_heading_that_they_share() -> None:
    blocks = [heading("Questions")]
    for number in range(12):
        blocks += [heading(f"Question {number}", 2), paragraph(SENTENCE * 4)]
    found = chunk_document(blocks).passages
    assert 3 <= len(found) <= 6
    assert {passage.heading for passage in found} == {"Questions"}
    assert all(passage.text.startswith("Question ") for passage in found)


def test_long_prose_is_cut_evenly_between_sentences() -> None:
    found = chunk_document([paragraph(SENTENCE * 38)]).passages
    sizes = [estimate_tokens(passage.text) for passage in found]
    assert len(found) == 2 and max(sizes) - min(sizes) < 40
    assert all(passage.text.endswith("next year.") for passage in found)


def test_paragraphs_are_cut_between_rather_than_within() -> None:
    found = chunk_document([paragraph(SENTENCE * 12 + f"End {number}.") for number in range(6)]).passages
    assert all(passage.text.rstrip().endswith(".") and passage.text.startswith("The committee") for passage in found)
    assert all("End" in passage.text[-8:] for passage in found)


def test_a_long_table_is_cut_between_rows_and_its_header_stands_above_each_part() -> None:
    rows = [f"Product {number} | {number * 3} euro | in stock since last year" for number in range(90)]
    found = chunk_document([heading("Prices"), Block(kind=BlockKind.TABLE, text="\n".join(["Name | Price | Stock", *rows]))]).passages
    assert len(found) > 2
    assert [passage.heading for passage in found] == ["Prices"] + ["Prices > Name | Price | Stock"] * (len(found) - 1)
    assert [line for passage in found for line in passage.text.split("\n")] == ["Name | Price | Stock", *rows]


def test_code_stays_whole() -> None:
    code = Block(kind=BlockKind.CODE, text="\n".join(f"call_{number}(argument)" for number in range(30)))
    found = chunk_document([paragraph(SENTENCE * 15), code, paragraph(SENTENCE * 15)]).passages
    assert sum(code.text in passage.text for passage in found) == 1


def test_a_sentence_over_the_budget_is_cut_after_a_clause() -> None:
    found = chunk_document([paragraph("一二三四五六七八九，" * 100)]).passages
    assert len(found) > 1
    assert all(passage.text.endswith("，") for passage in found)


HUGE = {
    "a text without any blank": [paragraph("aB3+" * 60_000)],
    "Chinese without a full stop": [paragraph("中文" * 120_000)],
    "a table of digits": [Block(kind=BlockKind.TABLE, text="1\n" * 120_000)],
    "items of a letter": [Block(kind=BlockKind.LIST, text="a\n" * 120_000)],
    "paragraphs of a letter": [paragraph("a")] * 20_000,
}


@pytest.mark.parametrize("blocks", HUGE.values(), ids=HUGE.keys())
def test_work_grows_with_the_text_and_not_with_its_square(blocks: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    estimated, sizes = [], []
    monkeypatch.setattr(chunking, "estimate_tokens", lambda text: estimated.append(len(text)) or estimate_tokens(text))
    size_cost = chunking._size_cost
    monkeypatch.setattr(chunking, "_size_cost", lambda tokens: sizes.append(tokens) or size_cost(tokens))
    found = chunk_document(blocks)
    assert (sum(estimated) < 40 * len(found.text), len(sizes) < 40 * len(found.text)) == (True, True)
    assert all(estimate_tokens(passage.text) <= MAX_TOKENS * 1.01 for passage in found.passages[:50])
    assert sum(passage.text.count(found.text[0]) for passage in found.passages) == found.text.count(found.text[0])


def test_a_passage_knows_its_page_and_its_section() -> None:
    blocks = [heading("A"), paragraph(SENTENCE * 40, page=3), heading("B"), paragraph(SENTENCE * 20, page=4)]
    found = chunk_document(blocks)
    assert [passage.page for passage in found.passages] == [3, 3, 4]
    first, last = found.passages[0], found.passages[-1]
    assert found.text[first.section_start : first.section_end] == "A\n\n" + (SENTENCE * 40).strip()
    assert found.text[last.section_start :].startswith("B\n\nThe committee")


def test_a_passage_over_several_pages_knows_where_each_begins() -> None:
    [found] = chunk_document(
        [paragraph("One.", page=3), paragraph("Two.", page=3), paragraph("Three.", page=4), paragraph("Four.", page=6)]
    ).passages
    assert (found.page, found.later_pages) == (3, "12:4 20:6")
    assert [page_at(found.page, found.later_pages, found.text.index(word)) for word in ("One", "Two", "Three", "Four")] == [3, 3, 4, 6]


def test_what_has_no_pages_is_on_none() -> None:
    [found] = chunk_document([paragraph("One."), paragraph("Two.")]).passages
    assert (found.page, found.later_pages, page_at(found.page, found.later_pages, 7)) == (None, "", None)


def test_a_heading_of_great_length_is_a_paragraph() -> None:
    blocks = [heading("A"), heading(SENTENCE * 25), heading("B"), paragraph(SENTENCE)]
    assert sum(passage.text.count("committee") for passage in chunk_document(blocks).passages) == 26


def test_a_heading_with_nothing_below_it_is_still_found() -> None:
    found = chunk_document([heading("Alone"), heading("Also alone")])
    assert [passage.text for passage in found.passages] == ["Alone\n\nAlso alone"]


SENTENCES = [
    ("你好。今天天气很好！走吗？", ["你好。", "今天天气很好！", "走吗？"]),
    ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
    ("Dr. Smith paid 3.5 dollars. He left.", ["Dr. Smith paid 3.5 dollars.", "He left."]),
    ("J. R. R. Tolkien wrote it, e.g. in the U.S. edition.", ["J. R. R. Tolkien wrote it, e.g. in the U.S. edition."]),
    ("one\n\ntwo", ["one", "two"]),
    ("  ", []),
]


@pytest.mark.parametrize(("text", "wanted"), SENTENCES, ids=range(len(SENTENCES)))
def test_sentences_end_where_readers_end_them(text: str, wanted: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == wanted


@pytest.mark.parametrize(("text", "tokens"), [("中华人民共和国", 4), ("The quick brown fox jumps.", 7), ("", 0)])
def test_tokens_are_about_those_of_a_multilingual_tokenizer(text: str, tokens: int) -> None:
    assert abs(estimate_tokens(text) - tokens) <= 1
