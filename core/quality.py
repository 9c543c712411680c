"""Is a text worth keeping? Rules that spare every text a person wrote and catch what machines leave behind. Pure, no models."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

MIN_LINES, MAX_REPEATED_SHARE = 20, 0.7
MIN_CHARS_TO_JUDGE, MIN_WORD_SHARE = 100, 0.35


class Flaw(StrEnum):
    """Why a text is not worth keeping."""

    TOO_SHORT = "too_short"
    SYMBOLS = "symbols"
    REPEATED_LINES = "repeated_lines"


def find_flaw(text: str, *, min_chars: int = 1) -> tuple[Flaw, str] | None:
    """The first flaw with a sentence that says what was seen, None for a good text. `min_chars` counts letters and digits."""
    visible = [char for char in text if not char.isspace()]
    words = sum(char.isalnum() for char in visible)
    if words < min_chars:
        return Flaw.TOO_SHORT, f"It has {words} letters and digits; at least {min_chars} are wanted."
    if len(visible) >= MIN_CHARS_TO_JUDGE and words < MIN_WORD_SHARE * len(visible):
        return Flaw.SYMBOLS, f"Only {100 * words // len(visible)} % of it are letters and digits."
    lines = [folded for line in text.splitlines() if (folded := " ".join(line.split()))]
    if len(lines) >= MIN_LINES:
        repeated = len(lines) - len(Counter(lines))
        if repeated > MAX_REPEATED_SHARE * len(lines):
            return Flaw.REPEATED_LINES, f"{repeated} of its {len(lines)} lines are repetitions."
    return None
