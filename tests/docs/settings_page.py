"""What does docs/settings.md say? It is written from `core.config.Settings`: `make docs` renews it, a test compares it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from core.config import PREFIX, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
INTRODUCTION = """\
# Settings

Every setting is an environment variable that begins with `QA_`; each has a default that works on a laptop. They are read
once, at the start. An unknown `QA_` name, a value of the wrong type or a contradiction stops the start with one message.
What curators change while the server runs (thresholds, greetings, visibility of a bot) is data and lies in the panel.

    QA_PORT=9000 QA_DATA_DIR=/srv/wenlu make run

This page is written from `core/config.py` by `make docs`.\
"""
_HEADING = re.compile(r"^    # (.+)$")
_FIELD = re.compile(r"^    (\w+): .*= Field\(")


def render() -> str:
    """The whole page: one table for each group of settings, in the order of the class."""
    parts = [INTRODUCTION]
    for heading, names in groups().items():
        parts += [f"\n## {heading}\n", "| name | default | is |", "|---|---|---|"]
        parts += [_row(name, Settings.model_fields[name]) for name in names]
    return "\n".join(parts) + "\n"


def groups() -> dict[str, list[str]]:
    """The names of settings under the comments that head them in the class."""
    found: dict[str, list[str]] = {}
    for line in inspect.getsource(Settings).splitlines():
        if heading := _HEADING.match(line):
            found[heading[1]] = []
        elif field := _FIELD.match(line):
            list(found.values())[-1].append(field[1])
    return found


def _row(name: str, field: FieldInfo) -> str:
    choices = [repr(choice).strip("'") for choice in get_args(field.annotation) if isinstance(choice, str)]
    default = "" if field.default in ("", None) else f"`{field.default}`"
    said = f"{field.description} One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else str(field.description)
    return f"| `{PREFIX}{name.upper()}` | {default} | {said.replace('|', '/')} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
