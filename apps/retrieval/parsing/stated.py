"""How are the facts that a file states about itself put into form: its date, its language?"""

from __future__ import annotations

import datetime
import re

_DAY = re.compile(r"(\d{4})\s*[-/.年]?\s*(\d{1,2})\s*[-/.月]?\s*(\d{1,2})")
_LANGUAGE = re.compile(r"^([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*$")


def stated_date(text: str) -> datetime.date | None:
    """The day in `2024-03-05T…`, `D:20240305…`, `2024年3月5日` or `2024/3/5`; None for anything else."""
    found = _DAY.search(text[:60])
    if found is None:
        return None
    try:
        return datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def stated_language(text: str) -> str:
    """The primary tag of a language code: `zh` of `zh-Hans-CN`; empty for anything else."""
    found = _LANGUAGE.match(text.strip())
    return found[1].lower() if found is not None else ""
