"""Cells of a Word file's tables stand under their columns."""

from __future__ import annotations

from pathlib import Path

import docx

from apps.retrieval.parsing.parsed import BlockKind
from apps.retrieval.parsing.refusal import ParseLimits
from apps.retrieval.parsing.word import parse


def test_a_merged_cell_leaves_room_for_itself(tmp_path: Path) -> None:
    file = docx.Document()
    table = file.add_table(rows=2, cols=4)
    for row, cells in enumerate([["Day", "Hours", "", "Phone"], ["Monday", "9", "17", "55"]]):
        for column, cell in enumerate(cells):
            table.cell(row, column).text = cell
    table.cell(0, 1).merge(table.cell(0, 2)).text = "Hours"
    file.save(str(tmp_path / "table.docx"))
    [block] = [block for block in parse(tmp_path / "table.docx", ParseLimits()).blocks if block.kind is BlockKind.TABLE]
    assert block.text == "Day | Hours |  | Phone\nMonday | 9 | 17 | 55"
