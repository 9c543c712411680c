"""What do the words and synonym rules of a knowledge base say? Read line by line, as people paste them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from apps.retrieval.indexes.analysis import fold
from core.errors import InvalidRequest
from core.text import clean_text

MAX_WORDS = 50_000
MAX_RULES = 10_000
MAX_WORD_CHARS = 60
MAX_TERMS = 20
_COMMA = re.compile(r"[,，、;；\t]")
_ARROW = re.compile(r"\s*(?:=>|＝>|=＞|→)\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class SynonymRule:
    """Any of `terms` in a question is also asked as each of `others`, except itself. Both are folded as the index folds."""

    terms: tuple[str, ...]
    others: tuple[str, ...]


def parse_words(text: str) -> tuple[str, ...]:
    """The words, folded, each once. Raises InvalidRequest that names the line of what is no word."""
    words: dict[str, None] = {}
    for number, line in _lines(text):
        words[_term(line, number, "words")] = None
        if len(words) > MAX_WORDS:
            raise InvalidRequest(f"There are more than {MAX_WORDS} words.", field="words")
    return tuple(words)


def parse_synonyms(text: str) -> tuple[SynonymRule, ...]:
    """The rules: `a, b` works both ways, `a => b, c` one way. Raises InvalidRequest that names the line of what is no rule."""
    rules: list[SynonymRule] = []
    for number, line in _lines(text):
        sides = _ARROW.split(line)
        if len(sides) > 2:
            raise InvalidRequest(f"Line {number} has more than one arrow.", field="synonyms", line=number)
        terms = _terms(sides[0], number)
        others = _terms(sides[1], number) if len(sides) == 2 else terms
        if not terms or not others or (len(sides) == 1 and len(terms) < 2):
            raise InvalidRequest(f"Line {number} needs two words: “a, b” or “a => b”.", field="synonyms", line=number)
        rules.append(SynonymRule(terms=terms, others=others))
        if len(rules) > MAX_RULES:
            raise InvalidRequest(f"There are more than {MAX_RULES} synonym rules.", field="synonyms")
    return tuple(rules)


def lines_of_table(text: str) -> str:
    """The lines of a CSV file as rules: its cells joined by commas, so that a word a row and a row of synonyms both work."""
    rows = csv.reader(text.replace("\x00", "").splitlines())
    try:
        return "\n".join(", ".join(cell.strip() for cell in row if cell.strip()) for row in rows if any(cell.strip() for cell in row))
    except csv.Error as error:
        raise InvalidRequest(f"The file cannot be used: {error}.") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        cleaned = clean_text(line.split("\t#", 1)[0]) if not line.lstrip().startswith("#") else ""
        if cleaned:
            yield number, cleaned


def _terms(side: str, number: int) -> tuple[str, ...]:
    terms = tuple(dict.fromkeys(_term(part, number, "synonyms") for part in _COMMA.split(side) if part.strip()))
    if len(terms) > MAX_TERMS:
        raise InvalidRequest(f"Line {number} has more than {MAX_TERMS} words.", field="synonyms", line=number)
    return terms


def _term(text: str, number: int, field: str) -> str:
    term = fold(text).strip()
    if not any(char.isalnum() for char in term):
        raise InvalidRequest(f"Line {number} has no letter or character that can be searched.", field=field, line=number)
    if len(term) > MAX_WORD_CHARS:
        raise InvalidRequest(f"Line {number} is longer than {MAX_WORD_CHARS} characters.", field=field, line=number)
    if len(term) < 2:
        raise InvalidRequest(f"Line {number}: a single character is no word to tell texts apart by.", field=field, line=number)
    return term
