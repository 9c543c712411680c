"""A list is read with what leads to it."""

from __future__ import annotations

import pytest

from apps.retrieval.search.led_lists import MAX_LIST_CHARS, led_lists

STEPS = "Choose a day.\nPay the deposit.\nShow the paper."


def shown(text: str, heading: str = "") -> list[str]:
    return [one.shown for one in led_lists(text, heading)]


def test_a_heading_leads_to_the_list_below_it() -> None:
    assert shown(f"How to book\n\n{STEPS}\n\nWe are open on Sundays.") == [f"How to book\n{STEPS}"]


def test_a_line_that_ends_with_a_colon_leads_to_the_lines_below_it() -> None:
    assert shown("重置密码的步骤：\n1. 打开门户。\n2. 设置新密码") == ["重置密码的步骤：\n1. 打开门户。\n2. 设置新密码"]


def test_the_heading_of_a_passage_leads_to_the_list_that_it_begins_with() -> None:
    [one] = led_lists(STEPS, "Museum > How to book")
    assert one.shown == f"How to book\n{STEPS}" and one.at is None and one.spans == ((0, len(STEPS)),)


def test_what_is_shown_stands_at_its_offsets() -> None:
    text = f"Welcome here.\n\nIn the box\n\nKettle\nBase 𠮷\n\n{STEPS}"
    [one] = led_lists(text, "")
    assert [text[start:end] for start, end in one.spans] == ["In the box", "Kettle\nBase 𠮷"]
    assert all(text[start:end] in one.shown for start, end in one.spans)


@pytest.mark.parametrize(
    "text",
    [
        "A sentence comes before.\n\nChoose a day.\nPay.",
        "History\n\nThe harbour was built long ago and it\nwas burnt in the year of the great war,\nas many others were.",
        "历史\n\n这座港口在很久以前由来自各地的工匠们建成并且一直用到今天\n后来在战争中被烧毁然后又由当地的居民们一砖一瓦地重新建了起来\n至今仍在",
        "Prices\n\nModel | Price\nX1 | 9\nX2 | 10",
        "One item\n\nKettle",
        "No list here: none at all.",
    ],
)
def test_prose_and_tables_are_no_lists(text: str) -> None:
    assert shown(text) == []


def test_a_long_list_is_shown_as_far_as_it_fits() -> None:
    items = [f"Item number {place} of the list" for place in range(50)]
    [one] = led_lists("All items\n\n" + "\n".join(items), "")
    assert len(one.items) <= MAX_LIST_CHARS and one.items.split("\n") == items[: len(one.items.split("\n"))]
