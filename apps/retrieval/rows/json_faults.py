"""Why is a text no JSON? In a curator's words, with the place; the parser's own words are for programmers, and name a line of one."""

from __future__ import annotations

import orjson

# What orjson's message contains (3.13), and what a person would say; the first that fits counts.
_REASONS = (
    ("UTF-8", "it is not UTF-8"),
    ("utf-8", "it is not UTF-8"),
    ("surrogate", "half of a character is missing"),
    ("end of data", "it ends too early, so that a quote or a bracket is not closed"),
    ("trailing comma", "nothing follows a comma"),
    ("string key", "a name in double quotes is wanted"),
    ("':' after key", "a colon is wanted after a name"),
    ("',' or '}'", "a comma or } is wanted"),
    ("',' or ']'", "a comma or ] is wanted"),
    ("content after document", "something follows its end"),
    ("escape", "a backslash stands before what it cannot stand before"),
    ("control character", "a text holds a tab or another control character"),
    ("depth", "it is nested too deeply"),
    ("literal", "a value is wanted, and a text needs double quotes"),
    ("JSON value", "a value is wanted, and a text needs double quotes"),
    ("number", "a number is not written as JSON has it"),
    ("digit", "a number is not written as JSON has it"),
)


def json_fault(error: orjson.JSONDecodeError) -> str:
    """The reason, and behind it the character (the first is 1) where the parser gave up, as far as it tells."""
    reason = next((words for part, words in _REASONS if part in error.msg), error.msg)
    return reason if reason == "it is not UTF-8" else f"{reason} (character {error.pos + 1})"
