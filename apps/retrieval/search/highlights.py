"""Where in a text are the words of a question? Character offsets of matching words, and the pieces worth showing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from apps.retrieval.indexes.analysis import RUN, WORD, analyze, chinese_words, fold, is_han, stem
from core.sentences import sentence_spans
from core.types import JSONDict

SNIPPETS = 3
SNIPPET_CHARS = 240
_ASCII_WORD = re.compile(r"([a-z0-9]+(?:'[a-z]+|(?<=[a-z])(?:\+\+|\#))?)")  # what WORD finds where all is ASCII, in half the time


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text, `text[start:end]`, and the spans in it (offsets in the piece, end exclusive) that the question has too."""

    text: str
    start: int
    end: int
    marks: tuple[tuple[int, int], ...]

    def as_dict(self) -> JSONDict:
        """The object of `highlights[]` on the wire."""
        return {"text": self.text, "start": self.start, "end": self.end, "marks": [list(mark) for mark in self.marks]}


def matching_spans(question: str, text: str) -> list[tuple[int, int]]:
    """Offsets (end exclusive) in `text` of what the lexical index would match, in order; neighbours are joined.

    Traditional and simplified characters match, and so do widths, cases and English word forms.
    """
    terms = _terms(question)
    folded, places = _folded(text)
    found = [run.span(1) for run in terms.chinese.finditer(folded)] if terms.chinese else []
    found += _word_spans(folded, terms.words) if terms.words else []
    if isinstance(places, range):
        return _joined(found)
    return _joined([(places[start], places[end - 1] + 1) for start, end in found])


def snippets(question: str, text: str) -> list[Snippet]:
    """Up to `SNIPPETS` sentences of a text that have most of the question's words, in the order of the text; its beginning where none has any."""
    spans = matching_spans(question, text)
    sentences = [piece for start, end in sentence_spans(text) for piece in _cut(start, end)]
    scored = [(len({text[a:b].casefold() for a, b in spans if start <= a < end}), number) for number, (start, end) in enumerate(sentences)]
    best = sorted(sorted(scored, key=lambda one: (-one[0], one[1]))[:SNIPPETS], key=lambda one: one[1])
    chosen = [sentences[number] for count, number in best if count] or _beginning(sentences)
    return [_snippet(text, start, end, spans) for start, end in chosen]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What to mark: `chinese` finds the longest of the question's Chinese words at each place, `words` are the stems of others."""

    chinese: re.Pattern[str] | None
    words: frozenset[str]


@lru_cache(maxsize=1000)
def _terms(question: str) -> _Terms:
    """Pairs of characters, which the index has too, are marked only where they are not words: 年有 of 每年有 is nothing to look at."""
    terms = frozenset(analyze(question))
    known = frozenset(word for run in RUN.finditer(fold(question)) if run[1] for word in chinese_words(run[1]))
    words = frozenset(term for term in terms if not is_han(term))
    chinese = known & terms or (frozenset() if words else terms)
    longest_first = sorted(chinese, key=lambda term: (-len(term), term))
    return _Terms(re.compile(f"(?=({'|'.join(longest_first)}))") if chinese else None, words)


def _word_spans(folded: str, stems: frozenset[str]) -> list[tuple[int, int]]:
    """The words of a folded text that have one of the stems. A text is cut at once, and each word looked up once."""
    parts = (_ASCII_WORD if folded.isascii() else WORD).split(folded)
    wanted = {word for word in set(parts[1::2]) if _stem(word) in stems}
    ends = accumulate(map(len, parts))
    return [(end - len(part), end) for part, end in zip(parts, ends, strict=True) if part in wanted]


def _snippet(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> Snippet:
    inside = [(max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start]
    return Snippet(text[start:end], start, end, tuple(inside))


def _beginning(sentences: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first sentences as one piece, as many as fit: the first alone is often no more than a heading."""
    if not sentences:
        return []
    start = sentences[0][0]
    return [(start, max((end for _, end in sentences if end - start <= SNIPPET_CHARS), default=sentences[0][1]))]


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > SNIPPET_CHARS:
        yield start, start + SNIPPET_CHARS
        start += SNIPPET_CHARS
    yield start, end


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text folded character by character, and where in the text each folded character comes from."""
    if text.isascii():
        return text.lower(), range(len(text))
    folded = text.translate(_folds)
    if len(folded) == len(text):  # no character becomes nothing, so each is one
        return folded, range(len(text))
    return folded, [place for place, character in enumerate(text) for _ in character.translate(_folds)]


_stem = lru_cache(maxsize=50_000)(stem)


class _Folds(dict[int, str]):
    """What each character is folded to, for `str.translate`, worked out when it is first met: at most as many as Unicode has."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = character.lower() if code < 128 else fold(character) or unicodedata.normalize("NFKC", character).casefold()
        return self.setdefault(code, folded)


_folds = _Folds()


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
