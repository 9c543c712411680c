"""Headers of two lines are read as one."""

from __future__ import annotations

import pytest

from apps.retrieval.parsing.two_line_headers import merged_header


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.split("\n")]


@pytest.mark.parametrize(
    ("table", "names"),
    [
        # as XLSX, CSV and PDF give merged cells: once
        (
            "Region | 2023 | | 2024 |\n | H1 | H2 | H1 | H2\nNorth | 12 | 14 | 15 | 18\nSouth | 9 | 8 | 11 | 10",
            "Region | 2023 / H1 | 2023 / H2 | 2024 / H1 | 2024 / H2",
        ),
        # as HTML and DOCX give them: repeated downwards
        (
            "Tariff | Price | | Users\nTariff | Monthly | Yearly | Users\nBasic | €9 | €90 | 3\nTeam | €29 | €290 | 25",
            "Tariff | Price / Monthly | Price / Yearly | Users",
        ),
        (
            "职级 | 住宿 | | 交通\n | 国内 | 国外 |\n员工 | 400 | 900 | 高铁\n经理 | 600 | 1200 | 飞机",
            "职级 | 住宿 / 国内 | 住宿 / 国外 | 交通",
        ),
        ("| 2024 |\nRegion | Q1 | Q2\nNorth | 12 | 14\nSouth | 9 | 8", "Region | 2024 / Q1 | 2024 / Q2"),
        ("门店 | 一月 |\n | 收入 | 支出\n东店 | 1,200 | 900\n西店 | 800 | 750", "门店 | 一月 / 收入 | 一月 / 支出"),
    ],
)
def test_the_first_two_rows_name_the_columns_together(table: str, names: str) -> None:
    assert merged_header([row if any(row) else [] for row in rows(table)]) == names.split(" | ")


@pytest.mark.parametrize(
    "table",
    [
        "Model | Warranty | Price\nX100 | 24 months | €99\nX200 | 36 months | €149",
        "Day | Morning | | Evening\nMonday | 9 | 10 | 18\nTuesday | 8 | 11 | 19",
        "| Free | | Plus\nStorage | 5 GB | 6 GB | 200 GB\nUsers | 1 | 2 | 5",
        "Zone | Country | Price\n | Austria | €9\nZone 2 | Spain | €12",
        "Shift | Anna | | Ben\n | early | late | late\n | late | early | early",
        "Name | Room | \nAnna | B12 | window\nBen | A3 | door",
        "A | B\nC | D",
        "| A | B",
    ],
)
def test_a_row_below_one_header_is_no_second_one(table: str) -> None:
    assert merged_header(rows(table)) is None
