"""A row of a table is read under the names of its columns."""

from __future__ import annotations

import pytest

from apps.retrieval.search.table_rows import Row, read_tables, telling_terms

MODELS = "Model | Warranty | Price\nX100 | 24 months | €99\nX200 | 36 months | €149"


def rows(text: str, heading: str = "") -> list[Row]:
    return list(read_tables(text, heading).rows)


def shown(text: str, heading: str = "") -> list[str]:
    return [row.shown for row in rows(text, heading)]


def test_each_cell_stands_under_the_name_of_its_column() -> None:
    assert shown(MODELS)[0] == "Model: X100; Warranty: 24 months; Price: €99"


def test_a_chinese_row_is_written_in_chinese() -> None:
    assert shown("型号 | 保修\n甲一型 | 24 个月\n乙二型 | 36 个月") == ["型号：甲一型；保修：24 个月", "型号：乙二型；保修：36 个月"]


def test_offsets_are_those_of_the_cells_in_the_passage() -> None:
    text = f"Our models 𠮷.\n\n{MODELS}\n\nAll of them are red."
    assert [[text[start:end] for start, end in row.spans] for row in rows(text)] == [
        ["X100", "24 months", "€99"],
        ["X200", "36 months", "€149"],
    ]
    assert [text[row.start : row.end] for row in rows(text)] == MODELS.split("\n")[1:]


def test_the_header_is_no_row() -> None:
    (line,) = read_tables(MODELS, "").apart
    assert MODELS[slice(*line)] == "Model | Warranty | Price"


def test_a_passage_that_continues_a_table_has_its_header_in_the_heading() -> None:
    assert shown("X300 | 12 months | €79\nX400 | 48 months | €299", "Shop > Machines > Model | Warranty | Price")[0] == (
        "Model: X300; Warranty: 12 months; Price: €79"
    )


def test_a_single_row_that_continues_a_table_is_one() -> None:
    assert shown("X300 | 12 months", "Model | Warranty") == ["Model: X300; Warranty: 12 months"]


def test_what_joins_headings_may_stand_in_a_header() -> None:
    assert shown("X300 | 12 months | 5", "Shop > Model | Months > days | Stars") == ["Model: X300; Months > days: 12 months; Stars: 5"]


def test_a_table_that_a_text_wrote_in_the_way_of_markdown_is_one() -> None:
    assert shown("| Boat | Leaves |\n|:-----|-------:|\n| Noon | 12:30 |\n|Night|22:10|") == [
        "Boat: Noon; Leaves: 12:30",
        "Boat: Night; Leaves: 22:10",
    ]


def test_pairs_have_no_header() -> None:
    assert shown("Weight | 1.4 kg\nHeight | 48 cm\nMaterial | Steel") == ["Weight: 1.4 kg", "Height: 48 cm", "Material: Steel"]


def test_pairs_of_words_are_not_read_as_a_header_and_rows() -> None:
    assert shown("Colour | Black\nMaterial | Steel\nLength | 30 cm")[:2] == ["Colour: Black", "Material: Steel"]


def test_two_columns_whose_second_holds_like_values_have_a_header() -> None:
    assert shown("City | Hotel\nParis | 120 €\nLyon | 95 €") == ["City: Paris; Hotel: 120 €", "City: Lyon; Hotel: 95 €"]


def test_a_table_without_header_has_rows_without_names() -> None:
    assert shown("P1001 | valve | 18 €\nP1002 | pump | 25 €\nP1003 | belt | 7 €")[0] == "P1001; valve; 18 €"


def test_years_name_columns_of_numbers() -> None:
    assert shown("Region | 2023 | 2024\nNorth | 1200 | 1350\nSouth | 900 | 870")[1] == "Region: South; 2023: 900; 2024: 870"


def test_an_empty_corner_names_nothing() -> None:
    assert shown("| Free | Plus\nStorage | 5 GB | 200 GB\nUsers | 1 | 5")[0] == "Storage; Free: 5 GB; Plus: 200 GB"


def test_empty_cells_are_left_out_and_move_no_other() -> None:
    assert shown("Day | Morning | Evening\nMonday |  | 18:00\nTuesday | 9:00 | 19:00")[0] == "Day: Monday; Evening: 18:00"


def test_an_empty_first_cell_means_the_one_above_it() -> None:
    text = "Zone | Country | Price\nZone 1 | Austria | €9\n | Germany | €5\nZone 2 | Spain | €12"
    row = rows(text)[1]
    assert row.shown == "Zone: Zone 1; Country: Germany; Price: €5"
    assert [text[start:end] for start, end in row.spans] == ["Zone 1", "Germany", "€5"]


@pytest.mark.parametrize("divider", ["", "|---|---|---|---|---|\n"])
def test_a_header_of_two_lines_names_columns_by_both(divider: str) -> None:
    text = f"| Region | 2023 | | 2024 | |\n{divider}| | H1 | H2 | H1 | H2 |\n| North | 12 | 14 | 15 | 18 |\n| South | 9 | 8 | 11 | 10 |"
    assert shown(text)[1] == "Region: South; 2023 / H1: 9; 2023 / H2: 8; 2024 / H1: 11; 2024 / H2: 10"
    assert [text[slice(*line)] for line in read_tables(text, "").apart] == text.split("\n")[:-2]


def test_a_total_belongs_to_no_group() -> None:
    assert shown("Zone | Item | Price\nZone 1 | Box | €9\n | Total | €9")[1] == "Item: Total; Price: €9"


@pytest.mark.parametrize(
    "text",
    ["It is written a | b.", "Home | About | Contact\n\nWe are open.", "No bar at all.", "Use a | b here.\nThen go on.\nAnd on.\nAnd on."],
)
def test_a_bar_in_a_text_makes_no_table(text: str) -> None:
    assert rows(text) == []


def test_a_word_that_most_rows_have_tells_none_apart() -> None:
    rows = [frozenset(row) for row in (["mini", "month"], ["maxi", "month"], ["midi", "month"])]
    assert telling_terms(rows, frozenset(["mini", "month", "cost"])) == [{"mini"}, set(), set()]
