"""Which texts are left out for their quality, and which are not."""

from __future__ import annotations

import pytest

from core.quality import Flaw, find_flaw

GOOD = [
    "是。",
    "C++",
    "Opening hours: Mon-Fri 9:00-17:00; Sat 10:00-12:00.",
    "\n".join(f"Item {number} | {number * 3} | yes" for number in range(50)),
    "The committee met again. " * 40,
    "年假十天。" * 30,
]


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_what_a_person_wrote_is_kept(text: str) -> None:
    assert find_flaw(text) is None


BAD = [
    ("…… —— !!", Flaw.TOO_SHORT),
    ("=" * 90 + "Chapter one" + "." * 90, Flaw.SYMBOLS),
    ("\n".join(["Home | Login"] * 25 + ["One line of content"]), Flaw.REPEATED_LINES),
]


@pytest.mark.parametrize(("text", "flaw"), BAD, ids=[flaw for _, flaw in BAD])
def test_what_machines_leave_behind_is_not(text: str, flaw: Flaw) -> None:
    found = find_flaw(text)
    assert found and found[0] is flaw


def test_a_base_can_ask_for_more_characters() -> None:
    found = find_flaw("Too short.", min_chars=20)
    assert found and found[1] == "It has 8 letters and digits; at least 20 are wanted."
