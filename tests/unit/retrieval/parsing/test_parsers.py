"""Each format gives the same blocks for the same content."""

from __future__ import annotations

import datetime
import importlib
from pathlib import Path

import pytest

from apps.retrieval.parsing.formats import detect_format
from apps.retrieval.parsing.parsed import Block, BlockKind, ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from tests import sample_files
from tests.sample_files import SENTENCES

TABLE = "城市 | 住宿标准\n北京 | 600\nLyon | 450"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def parsed(folder: Path, data: bytes, name: str, limits: ParseLimits | None = None) -> ParsedDocument:
    path = folder / "file"
    path.write_bytes(data)
    limits = limits or ParseLimits()
    module = importlib.import_module(f"apps.retrieval.parsing.{detect_format(path, name, limits).value}")
    document = module.parse(path, limits)
    assert isinstance(document, ParsedDocument)
    return document


def shown(document: ParsedDocument) -> list[tuple[str, int, str]]:
    return [(block.kind.value, block.level, block.text) for block in document.blocks]


def heading(text: str, level: int) -> tuple[str, int, str]:
    return ("heading", level, text)


def test_word_gives_headings_lists_tables_in_order_and_its_facts(folder: Path) -> None:
    document = parsed(folder, sample_files.word(), "a.docx")
    assert shown(document) == [
        heading("休假", 1),
        ("paragraph", 0, SENTENCES[0]),
        heading("报销", 2),
        ("list", 0, "发票\n行程单"),
        ("table", 0, TABLE),
        ("paragraph", 0, SENTENCES[2]),
    ]
    assert (document.title, document.author, document.date) == ("员工手册", "Zhang", datetime.date(2024, 3, 5))


def test_slides_are_pages_with_titles_bullets_tables_and_notes(folder: Path) -> None:
    document = parsed(folder, sample_files.slides(), "a.pptx")
    assert document.blocks == (
        Block(kind=BlockKind.HEADING, text="休假", level=2, page=1),
        Block(kind=BlockKind.LIST, text="\n".join(SENTENCES[:2]), page=1),
        Block(kind=BlockKind.HEADING, text="报销", level=2, page=2),
        Block(kind=BlockKind.TABLE, text=TABLE, page=2),
        Block(kind=BlockKind.PARAGRAPH, text=SENTENCES[2], page=2),
    )


def test_sheets_give_what_is_shown_without_empty_and_hidden_ones(folder: Path) -> None:
    document = parsed(folder, sample_files.sheets(), "a.xlsx")
    assert shown(document) == [heading("住宿", 2), ("table", 0, f"{TABLE}\n上海 | 550\n日期 | 2024-03-05")]


def test_a_sheet_that_lies_about_its_size_costs_what_it_holds(folder: Path) -> None:
    document = parsed(folder, sample_files.HOSTILE["sheet.xlsx"](), "a.xlsx")
    assert shown(document) == []


def test_csv_of_chinese_excel_is_one_table(folder: Path) -> None:
    assert shown(parsed(folder, sample_files.csv(), "a.csv")) == [("table", 0, f"{TABLE}\n备注 | 含早餐, 不含税")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_of_a_table_is_found(folder: Path, separator: str) -> None:
    data = "\n".join(separator.join(row) for row in sample_files.ROWS).encode()
    assert shown(parsed(folder, data, "a.csv")) == [("table", 0, TABLE)]


def test_only_the_line_ends_of_a_table_end_its_rows(folder: Path) -> None:
    data = 'name,city\r\nAda\u2028Lovelace,Rome\nBob\x0bHope,"Oslo\r\nFjord"\rEve\x85,Bonn'.encode()
    assert shown(parsed(folder, data, "a.csv")) == [("table", 0, "name | city\nAda Lovelace | Rome\nBob Hope | Oslo Fjord\nEve | Bonn")]


def test_a_page_gives_its_article_and_not_its_frame(folder: Path) -> None:
    document = parsed(folder, sample_files.html(), "a.html")
    said = "\n".join(block.text for block in document.blocks)
    assert [(block.level, block.text) for block in document.blocks if block.level] == [(1, "休假"), (2, "报销")]
    assert ("list", 0, "发票\n行程单") in shown(document)
    assert ("table", 0, TABLE) in shown(document)
    assert "第7条" in said
    assert not [word for word in ("首页", "版权", "alert") if word in said]
    assert (document.title, document.language, document.date) == ("员工手册", "zh", datetime.date(2024, 3, 5))


def test_a_short_page_is_read_whole(folder: Path) -> None:
    data = (
        "<html><body><nav>首页</nav><h2>营业时间</h2>周一至<b>周五</b><br>九点<ul><li>午休</li></ul><p hidden>x</p></body></html>".encode()
    )
    assert shown(parsed(folder, data, "a.html")) == [heading("营业时间", 2), ("paragraph", 0, "周一至周五\n九点"), ("list", 0, "午休")]


def test_a_page_in_an_old_encoding_is_read_as_it_declares(folder: Path) -> None:
    data = '<html><head><meta charset="gb2312"></head><body><p>价格：１００镕</p></body></html>'.encode("gb18030")
    assert shown(parsed(folder, data, "a.html")) == [("paragraph", 0, "价格：１００镕")]


def test_a_short_page_says_what_its_main_element_holds(folder: Path) -> None:
    frame = "<header><a>Shop</a></header><div>We use cookies. Accept all cookies to go on.</div>"
    for mark in ("main", "article", "div role='main'"):
        page = f"<html><body>{frame}<{mark}><h1>Delivery</h1><p>Orders above EUR 300 are delivered free.</p></{mark.split()[0]}><p>More</p></body></html>"
        assert shown(parsed(folder, page.encode(), "a.html")) == [
            heading("Delivery", 1),
            ("paragraph", 0, "Orders above EUR 300 are delivered free."),
        ]


@pytest.mark.parametrize(
    "mark", ["<main></main>", "<main>Menu</main>", "<article>One</article><article>Two</article>", "<main hidden>x</main>"]
)
def test_a_main_element_without_the_content_changes_nothing(folder: Path, mark: str) -> None:
    page = f"<html><body>{mark}<p>Orders above EUR 300 are delivered free of charge.</p></body></html>"
    assert "Orders above EUR 300" in str(shown(parsed(folder, page.encode(), "a.html")))


@pytest.mark.parametrize("charset", ["hex", "idna", "utf-16"])
def test_a_page_that_declares_no_encoding_of_pages_is_read_as_what_it_is(folder: Path, charset: str) -> None:
    data = f'<html><head><meta charset="{charset}"></head><body><p>年假有十天。{"The committee agreed. " * 200}</p></body></html>'.encode()
    assert shown(parsed(folder, data, "a.html"))[0][2].startswith("年假有十天。The committee agreed.")


def test_markdown_gives_its_structure_and_front_matter(folder: Path) -> None:
    document = parsed(folder, sample_files.markdown(), "a.md")
    assert shown(document) == [
        heading("休假", 1),
        ("paragraph", 0, "\n".join(SENTENCES[:2])),
        heading("报销", 2),
        ("list", 0, "发票\n行程单"),
        ("table", 0, TABLE),
        ("code", 0, "x = 1"),
    ]
    assert (document.title, document.date) == ("员工手册", datetime.date(2024, 3, 5))


def test_text_has_chapters_and_paragraphs(folder: Path) -> None:
    document = parsed(folder, sample_files.text(), "a.txt")
    assert shown(document) == [
        heading("第一章 休假", 2),
        ("paragraph", 0, SENTENCES[0]),
        heading("第二章 报销", 2),
        ("paragraph", 0, SENTENCES[1]),
    ]


def test_text_without_blank_lines_has_a_paragraph_a_line(folder: Path) -> None:
    assert [block.text for block in parsed(folder, b"one line.\ntwo lines.\n", "a.txt").blocks] == ["one line.", "two lines."]


def test_rows_are_sections(folder: Path) -> None:
    document = parsed(folder, sample_files.rows() + b"not json\n\n[]\n", "a.jsonl")
    assert shown(document)[:2] == [heading("条目0", 2), ("paragraph", 0, SENTENCES[0])]
    assert document.warnings == (f"2 lines are not JSON objects and were left out: {len(SENTENCES) + 1}, {len(SENTENCES) + 3}.",)


def test_a_book_is_read_in_its_order(folder: Path) -> None:
    document = parsed(folder, sample_files.epub(), "a.epub")
    assert [(block.page, block.text) for block in document.blocks if not block.level] == list(enumerate(SENTENCES, 1))
    assert (document.title, document.author, document.language) == ("员工手册", "Zhang", "zh")


def test_a_book_with_a_damaged_chapter_gives_the_others(folder: Path) -> None:
    data = bytearray(sample_files.epub())
    data[data.index(b"OEBPS/c1.xhtml") + 20] ^= 0xFF
    document = parsed(folder, bytes(data), "a.epub")
    assert {block.page for block in document.blocks} == {1, 3}
    assert "Chapter 2" in document.warnings[0]


def test_an_entity_of_a_book_brings_no_file_in(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("top secret")
    package = f'<?xml version="1.0"?>{sample_files.outside_entity(str(secret))}<package><metadata/>&leak;</package>'
    with pytest.raises(UnreadableFile) as refused:
        parsed(folder, sample_files.rezipped(sample_files.epub(), {"OEBPS/book.opf": package.encode()}), "a.epub")
    assert "top secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["laughs.docx", "leak.pptx", "laughs.xlsx"])
def test_office_files_with_entities_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        parsed(folder, sample_files.HOSTILE[name](), name)
    assert refused.value.reason is Reason.UNSAFE


def test_more_text_than_allowed_is_refused(folder: Path) -> None:
    for data, name in ((b"word " * 300, "a.txt"), (b"a,b\n" * 300, "a.csv"), (b"# x\n\ny\n\n" * 400, "a.md")):
        with pytest.raises(UnreadableFile) as refused:
            parsed(folder, data, name, ParseLimits(max_chars=500))
        assert refused.value.reason is Reason.TOO_MUCH_TEXT


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "Region,2023,,2024,\n,H1,H2,H1,H2\nNorth,12,14,15,18\nSouth,9,8,11,10"),
        (
            "a.html",
            "<p>Sold</p><table><tr><th rowspan=2>Region</th><th colspan=2>2023</th><th colspan=2>2024</th></tr>"
            "<tr><th>H1</th><th>H2</th><th>H1</th><th>H2</th></tr><tr><td>North</td><td>12</td><td>14</td><td>15</td><td>18</td></tr>"
            "<tr><td>South</td><td>9</td><td>8</td><td>11</td><td>10</td></tr></table>",
        ),
        (
            "a.md",
            "| Region | 2023 | | 2024 | |\n|---|---|---|---|---|\n| | H1 | H2 | H1 | H2 |\n| North | 12 | 14 | 15 | 18 |\n| South | 9 | 8 | 11 | 10 |",
        ),
    ],
)
def test_a_header_of_two_lines_is_one_line_in_every_format(folder: Path, name: str, data: str) -> None:
    [table] = [block.text for block in parsed(folder, data.encode(), name).blocks if block.kind is BlockKind.TABLE]
    assert table == "Region | 2023 / H1 | 2023 / H2 | 2024 / H1 | 2024 / H2\nNorth | 12 | 14 | 15 | 18\nSouth | 9 | 8 | 11 | 10"
