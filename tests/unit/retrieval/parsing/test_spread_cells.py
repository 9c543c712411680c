"""Cells of a web page's tables stand under their columns, however far others reach."""

from __future__ import annotations

from pathlib import Path

from lxml import html

from apps.retrieval.parsing.parsed import BlockKind
from apps.retrieval.parsing.refusal import ParseLimits
from apps.retrieval.parsing.spread_cells import MAX_SPREAD, spread_cells
from apps.retrieval.parsing.web_page import parse


def rows_of(table: str) -> list[list[str]]:
    root = html.document_fromstring(f"<table>{table}</table>")
    spread_cells(root)
    return [[cell.text_content() for cell in row.iter("td", "th")] for row in root.iter("tr")]


def test_a_cell_that_reaches_down_is_said_in_every_row() -> None:
    table = "<tr><td rowspan=3>North<td>Bergen<td>4<tr><td>Oslo<td>5<tr><td>Bodø<td>6<tr><td>South<td>Rome<td>7"
    assert rows_of(table) == [["North", "Bergen", "4"], ["North", "Oslo", "5"], ["North", "Bodø", "6"], ["South", "Rome", "7"]]


def test_a_cell_that_reaches_to_the_right_leaves_room_for_itself() -> None:
    assert rows_of("<tr><th>Day<th colspan=2>Hours<th>Phone<tr><td>Monday<td>9<td>17<td>55") == [
        ["Day", "Hours", "", "Phone"],
        ["Monday", "9", "17", "55"],
    ]


def test_a_cell_may_reach_down_in_the_middle_and_at_the_end() -> None:
    assert rows_of("<tr><td>a<td rowspan=2>b<td>c<td rowspan=2>d<tr><td>e<td>f") == [["a", "b", "c", "d"], ["e", "b", "f", "d"]]


def test_whatever_reach_a_page_states_few_cells_are_added() -> None:
    cells = sum(map(len, rows_of("<tr><td rowspan=99999 colspan=99999>x<td colspan=-3>y" + "<tr><td rowspan=1000>z" * 500)))
    assert cells <= MAX_SPREAD + 502


def test_a_short_page_with_a_table_keeps_its_rows(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<html><body><h1>Rates</h1><p>Rates change in May. Ask at the desk for the rates of groups, which are lower.</p><table>"
        "<tr><th>Zone<th>Town<th>Rate</tr><tr><td rowspan=2>One<td>Bergen<td>40</tr><tr><td>Oslo<td>50</tr></table></body></html>",
        encoding="utf-8",
    )
    tables = [block.text for block in parse(page, ParseLimits()).blocks if block.kind is BlockKind.TABLE]
    assert tables == ["Zone | Town | Rate\nOne | Bergen | 40\nOne | Oslo | 50"]
