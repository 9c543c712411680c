"""Lines of a PDF become paragraphs, headings, lists and tables; frames of pages are left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.retrieval.parsing import pdf
from apps.retrieval.parsing.page_lines import Line, join_boxes, join_lines, running_lines
from apps.retrieval.parsing.parsed import Block, BlockKind, ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from tests import sample_files
from tests.sample_files import SENTENCES


def parsed(folder: Path, data: bytes, limits: ParseLimits | None = None) -> ParsedDocument:
    path = folder / "file.pdf"
    path.write_bytes(data)
    return pdf.parse(path, limits or ParseLimits())


def line(text: str, *, y: float, left: float = 50, right: float = 500, size: float = 10) -> Line:
    return Line(text, left, y, right, y + size)


def test_chinese_text_comes_with_its_pages_and_facts(tmp_path: Path) -> None:
    document = parsed(tmp_path, sample_files.pdf([[SENTENCES[0]], [SENTENCES[1]]]))
    assert [(block.page, block.text) for block in document.blocks] == [(1, SENTENCES[0]), (2, SENTENCES[1])]
    assert (document.title, document.author, str(document.date)) == ("员工手册", "Zhang", "2024-03-05")


def test_characters_beyond_the_first_65536_are_whole(tmp_path: Path) -> None:
    meant = {"A": "𠮷", "B": "野", "C": "😀", "D": "A\u0300"}
    assert [block.text for block in parsed(tmp_path, sample_files.pdf_of_letters(meant, "ABC D")).blocks] == ["𠮷野😀 A\u0300"]


def test_larger_lines_are_headings(tmp_path: Path) -> None:
    document = parsed(tmp_path, sample_files.pdf([["# 休假规定", *SENTENCES]]))
    assert document.blocks[0] == Block(kind=BlockKind.HEADING, text="休假规定", level=1, page=1)


def test_lines_that_the_outline_names_are_headings_of_its_level(tmp_path: Path) -> None:
    document = parsed(tmp_path, sample_files.pdf([["总则", SENTENCES[0]], ["报销", SENTENCES[1]]], outline=[("总则", 1), ("报 销", 2)]))
    assert [(block.text, block.page) for block in document.blocks if block.level == 1] == [("总则", 1), ("报销", 2)]


def test_ruled_tables_are_tables_at_their_place(tmp_path: Path) -> None:
    kinds = [(block.kind, block.text) for block in parsed(tmp_path, sample_files.pdf_table()).blocks]
    table = "城市 | 住宿标准\n北京 | 600\nLyon | 450"
    assert kinds == [(BlockKind.PARAGRAPH, SENTENCES[0]), (BlockKind.TABLE, table), (BlockKind.PARAGRAPH, SENTENCES[1])]


def test_heads_feet_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    bodies = ["甲段的内容在这里。", "乙段的内容在这里。", "丙段的内容在这里。", "丁段的内容在这里。"]
    pages = [["公司内部资料", f"第 {n} 页", "", "", body, "", "", f"- {n} -"] for n, body in enumerate(bodies, 1)]
    assert [block.text for block in parsed(tmp_path, sample_files.pdf(pages)).blocks] == bodies


def test_pages_that_are_all_alike_are_no_frames(tmp_path: Path) -> None:
    assert len(parsed(tmp_path, sample_files.pdf([["Certificate", "No 1"]] * 3)).blocks) == 6


def test_pages_beyond_the_limit_are_named(tmp_path: Path) -> None:
    document = parsed(tmp_path, sample_files.pdf([[SENTENCES[0]]] * 2), ParseLimits(max_pages=1))
    assert document.warnings == ("Only the first 1 of 2 pages were read.",)
    assert len(document.blocks) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (sample_files.encrypted_pdf(), Reason.ENCRYPTED),
        (b"%PDF-1.7\nnothing else", Reason.DAMAGED),
        (sample_files.pdf([[]]), Reason.NO_TEXT),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, data: bytes, reason: Reason) -> None:
    with pytest.raises(UnreadableFile) as refused:
        parsed(tmp_path, data)
    assert refused.value.reason is reason


def test_pages_that_are_pictures_are_named_and_take_the_lines_that_were_recognised(tmp_path: Path) -> None:
    assert parsed(tmp_path, sample_files.huge_picture()).scanned == (1,)
    document = pdf.parse(tmp_path / "file.pdf", ParseLimits(), [(1, [("Leave", 50, 700, 300, 730), ("Ten days", 50, 670, 300, 680)])])
    assert document.scanned == ()
    assert [(block.page, block.text) for block in document.blocks] == [(1, "Leave"), (1, "Ten days")]


def test_a_file_cut_after_its_trailer_is_still_read(tmp_path: Path) -> None:
    whole = sample_files.pdf()
    assert len(parsed(tmp_path, whole[: whole.index(b"startxref")]).blocks) == 3


def test_full_lines_go_on_and_short_ones_end_a_paragraph() -> None:
    lines = [line("每年享受十五天", y=100), line("带薪年假。", y=86, right=200), line("另起一段", y=72)]
    assert join_lines(lines) == ["每年享受十五天带薪年假。", "另起一段"]


def test_latin_words_keep_their_blank_and_broken_words_lose_their_hyphen() -> None:
    assert join_lines([line("The office", y=100), line("opens daily", y=86)]) == ["The office opens daily"]
    assert join_lines([line("reimburse\x02", y=100), line("ment", y=86)]) == ["reimbursement"]


def test_a_ragged_line_goes_on_where_the_next_word_had_no_room() -> None:
    ragged = [Line("To change the name of the", 0, 86, 150, 100), Line("wireless network, open Settings", 0, 72, 200, 86)]
    assert join_lines(ragged) == ["To change the name of the wireless network, open Settings"]
    ended = [Line("It is all in the cable", 0, 86, 150, 100), Line("A new thought begins in this line", 0, 72, 200, 86)]
    assert join_lines(ended) == ["It is all in the cable", "A new thought begins in this line"]


def test_a_gap_a_new_size_or_a_bullet_begins_a_paragraph() -> None:
    lines = [line("one", y=100), line("two", y=60), line("three", y=46, size=14), line("• four", y=30)]
    assert join_lines(lines) == ["one", "two", "three", "• four"]


def test_recognised_boxes_beside_each_other_are_one_line_and_columns_are_not() -> None:
    boxes = [
        Line("costs", 95, 700.4, 130, 710), Line("Travel", 50, 700, 90, 710.3), Line("差旅", 50, 680, 90, 690), Line("费用", 92, 680.2, 130, 690.1),
        Line("another column", 300, 700, 400, 710), Line("are refunded.", 134, 699.8, 200, 710),
    ]  # fmt: skip
    assert [(line.text, line.left, line.right) for line in join_boxes(boxes)] == [
        ("Travel costs are refunded.", 50, 200), ("another column", 300, 400), ("差旅费用", 50, 130),
    ]  # fmt: skip


def test_lines_that_come_back_only_twice_are_content() -> None:
    assert running_lines([[line("a", y=10)], [line("a", y=10)]]) == set()
    assert running_lines([[line(f"page {n}", y=10)] for n in range(3)]) == {"page #"}


@pytest.mark.parametrize("number", ["Page {}", "- {} -", "{}", "第 {} 页", "{} / 2", "Page {} of 2", "第{}页 共2页"])
def test_the_numbers_of_two_pages_are_left_out_and_what_only_looks_alike_stays(number: str) -> None:
    pages = [[line("Prices", y=700), line(number.format(page), y=20)] for page in (1, 2)]
    assert running_lines(pages) == {re.sub(r"\d+", "#", number.format(1))}
    assert running_lines([[line("Room 7", y=20)], [line("Room 8", y=20)]]) == set()
    assert running_lines([[line("12", y=20)], [line("40", y=20)]]) == set()
