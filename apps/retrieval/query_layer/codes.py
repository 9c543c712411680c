"""Which model numbers does a text name, and how else can they be written? BC310, BC-310 and BC 310 are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_JOINED = re.compile(r"(?<![a-z0-9])(?:([a-z]+)(\d+)|(\d+)([a-z]+))(?![a-z0-9])")
_PARTED = re.compile(r"(?<![a-z0-9])(?:([a-z]+)[ _-](\d+)|(\d+)[ _-]([a-z]+))(?![a-z0-9])")
_NAMED = re.compile(r"(?<![a-z0-9-])([a-z]{1,6})(-?)(\d{1,6})[a-z]{0,2}(?![a-z0-9-])")
_WRITTEN = re.compile(r"(?<![a-z])([a-z]+)[ _-]?(\d+)")
_YEAR = re.compile(r"(?:1\d|20)\d\d")
_PREFIXES = frozenset(["top", "mid", "pre", "post", "non", "under", "over", "no"])
MAX_CODES = 8


def codes_named(folded: str) -> frozenset[str]:
    """The codes that a folded question asks about, their letters and figures joined: CX-9, BC310. Not Q3 or p-1, nor mid-1990."""
    found = [match.groups() for match in _NAMED.finditer(folded)]
    return frozenset(
        letters + figures
        for letters, hyphen, figures in found
        if len(letters + figures) > 2 and letters not in _PREFIXES and not (hyphen and _YEAR.fullmatch(figures))
    )


def codes_written(folded: str) -> frozenset[str]:
    """All letters with figures behind them in a folded text, joined, whatever stands between: BC-310, BC 310."""
    return frozenset(letters + figures for letters, figures in _WRITTEN.findall(folded))


def code_form(text: str, frequencies: Callable[[Sequence[str]], Mapping[str, int]]) -> str | None:
    """The folded text with its codes of letters and figures parted or joined, where entries have them so and not as they were typed; else None."""
    codes = [*_JOINED.finditer(text), *_PARTED.finditer(text)][:MAX_CODES]
    if not codes:
        return None
    parts = {code: [part for part in code.groups() if part] for code in codes}
    known = frequencies(sorted({term for found in parts.values() for term in (*found, "".join(found))}))
    written = text
    for code, found in sorted(parts.items(), key=lambda one: -one[0].start()):
        other, there = _other_way(found, joined="".join(found) == code[0], known=known)
        written = f"{written[: code.start()]}{other}{written[code.end() :]}" if there else written
    return written if written != text else None


def _other_way(parts: Sequence[str], *, joined: bool, known: Mapping[str, int]) -> tuple[str, bool]:
    """The code written the other way, and whether entries have it so and not as it was typed."""
    whole = "".join(parts)
    if joined:
        return "-".join(parts), not known.get(whole) and all(known.get(part) for part in parts)
    return whole, bool(known.get(whole)) and not all(known.get(part) for part in parts)
