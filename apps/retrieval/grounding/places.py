"""What do the sentences of a source state? The words, numbers, codes and names of each, and whether it denies something."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import rjieba

from apps.retrieval.grounding.prompt import QuotedText
from apps.retrieval.indexes.analysis import CHINESE_PARTICLES, ENGLISH_STOP_WORDS, RUN, fold, stem
from apps.retrieval.query_layer.numbers import in_figures
from core.sentences import is_heading, sentence_spans
from core.text import guess_locale
from core.types import Locale

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CODE_OR_NUMBER = re.compile(r"\b[a-z]{1,4}-?\d+[a-z]?\b|(?<![a-z])\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"\b[A-Za-z][\w'’-]*(?:[.@/][\w-]+)*")
_FIGURES = {word: str(value) for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
)} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100", "thousand": "1000"}  # fmt: skip
_DENIAL = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|unable|except|unless)\b|n't\b"
    r"|不(?!过|同|仅|但|锈|超过|少于|低于|高于|晚于|早于|足|满|断|久|妨)|没|无(?!线|论|需)|未(?!来)|勿|别(?!的|人|墅)|(?<![拘监软囚])禁|除外"
)
_SAYING_LITTLE = CHINESE_PARTICLES | frozenset(
    ["是", "您", "你", "我", "请", "会", "要", "就", "也", "都", "可以", "可", "和", "与", "或", "及", "在"]
)
_CLAUSE_END = re.compile(r"[,，、;；。.:：!?！？()（）…\n]+(?=\s|$|[^\x00-\x7f])")
_MORE = re.compile(r"(?<=[特分级类个性区])别|非常")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A sentence of a source; all but `text` and `denies` count what the source stands under, too.

    `codes` are the codes that stand before each number, `starts` and `ends` the words that begin and end a clause,
    `headed` those of title and headings.
    """

    source: int
    text: str
    terms: tuple[str, ...]
    numbers: frozenset[str]
    codes: Mapping[str, frozenset[str]]
    names: frozenset[str]
    denies: bool
    starts: frozenset[str]
    ends: frozenset[str]
    headed: frozenset[str]


def places_of(source: QuotedText) -> list[Place]:
    """The sentences of a source."""
    return places_of_text(source.text, source=source.number, head=source.head)


def places_of_text(text: str, *, source: int = 1, head: str = "") -> list[Place]:
    """The same of a text by itself. A heading within it states nothing: what follows stands under it."""
    found, before, under = [], "", head
    for start, end in sentence_spans(text):
        if is_heading(text, start, end):
            before, under = "", f"{head}\n{text[start:end]}"
            continue
        found.append(_place(text[start:end], before, source, under))
        before = text[start:end]
    return found


def _place(text: str, before: str, source: int, head: str) -> Place:
    """A sentence under its title and headings; of the one before it the names, which "it" may stand for, and codes."""
    names = (
        _NAME.findall(before)
        if guess_locale(before) is Locale.ZH
        else [name for name in _NAME.findall(before) if _is_name(name, is_first=False)]
    )
    context = f"{head}\n{' '.join(names)}\n{text}"
    clauses = [terms for clause in _CLAUSE_END.split(text) if (terms := content_terms(clause))]
    return Place(
        source=source,
        text=text,
        terms=tuple(content_terms(context)),
        numbers=numbers_in(f"{head}\n{text}"),
        codes=codes_before_numbers(context),
        names=frozenset(map(_folded_name, _NAME.findall(context))),
        denies=is_denial(text),
        headed=frozenset(content_terms(head)),
        starts=frozenset(terms[0] for terms in clauses),
        ends=frozenset(terms[-1] for terms in clauses),
    )


def numbers_in(text: str) -> frozenset[str]:
    """The numbers of a text in figures, whatever they are written in; thousands without their commas."""
    figures = in_figures(fold(text))
    words = {_FIGURES[word] for word in re.findall(r"[a-z]+", figures) if word in _FIGURES and word != "one"}
    return frozenset(_plain_number(number) for number in _NUMBER.findall(figures)) | words


def codes_before_numbers(text: str) -> dict[str, frozenset[str]]:
    """The nearest code (A3, W2) before each number of a text, where there is one: which price is whose."""
    found: dict[str, frozenset[str]] = {}
    code = ""
    for match in _CODE_OR_NUMBER.finditer(in_figures(fold(text))):
        if match[0][0].isdigit():
            number = _plain_number(match[0])
            found[number] = found.get(number, frozenset()) | ({code} if code else frozenset())
        else:
            code = match[0]
    return found


def names_in(sentence: str) -> frozenset[str]:
    """What a sentence may only have from its source, folded: names and codes of models, addresses, words in capitals.

    The first word of an English sentence is written large for another reason; in a Chinese one every Latin word is a name.
    """
    is_chinese = guess_locale(sentence) is Locale.ZH
    found = enumerate(match[0] for match in _NAME.finditer(sentence))
    return frozenset(_folded_name(name) for place, name in found if is_chinese or _is_name(name, is_first=place == 0))


def _is_name(word: str, *, is_first: bool) -> bool:
    if any(char.isdigit() or char in "@./" for char in word) or word[1:2].isupper():
        return True
    return word[0].isupper() and not is_first and word != "I"


def _folded_name(name: str) -> str:
    return re.sub("['’]s?$", "", fold(name))


def is_denial(text: str) -> bool:
    """Whether a text denies something, by the words that do so in English and Chinese."""
    return _DENIAL.search(_MORE.sub("", fold(text))) is not None


def content_terms(text: str) -> list[str]:
    """The words of a text that say something, in order: English stems, Chinese words; numbers are looked at by themselves.

    Chinese pairs of characters, which searches use as well, would differ wherever one particle does.
    """
    terms: list[str] = []
    for han, word in RUN.findall(in_figures(fold(text))):
        if han:
            terms += [part for part in rjieba.cut(han, False) if part not in _SAYING_LITTLE]
        elif word not in ENGLISH_STOP_WORDS and word not in _FIGURES and not word.isdigit():
            terms.append(stem(word))
    return terms


def _plain_number(number: str) -> str:
    """1,299 as 1299, 10.50 as 10.5, 08:00 as 8:00."""
    if ":" in number:
        return number.lstrip("0") or "0"
    plain = re.sub(r",(?=\d{3}(?:\D|$))", "", number)
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain).lstrip("0") or "0"
