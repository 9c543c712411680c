"""Where in a text are the words of a question? Character offsets of matching words, and the pieces worth showing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate

from apps.retrieval.indexes.analysis import HAN, RUN, WORD, analyze, chinese_words, fold, is_han, simplify, stem
from core.sentences import sentence_spans
from core.text import clean_text
from core.types import JSONDict

SNIPPETS = 3
SNIPPET_CHARS = 240
_JOINER = "\u200d"
_HAN_RUN = re.compile(f"[{HAN}]+")
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
    folded, places = _folded(text, by_words=terms.has_regional)
    found = [run.span(1) for run in terms.chinese.finditer(folded)] if terms.chinese else []
    found += _word_spans(folded, terms.words) if terms.words else []
    spans = found if places is None else [(places[start][0], places[end - 1][1]) for start, end in found]
    return _joined(spans if text.isascii() else [(start, _whole(text, end)) for start, end in spans])


def snippets(question: str, text: str) -> list[Snippet]:
    """Up to `SNIPPETS` sentences of a text that have most of the question's words, in the order of the text; its beginning where none has any."""
    spans = matching_spans(question, text)
    sentences = [piece for start, end in sentence_spans(text) for piece in _cut(text, start, end)]
    scored = [(len({text[a:b].casefold() for a, b in spans if start <= a < end}), number) for number, (start, end) in enumerate(sentences)]
    best = sorted(sorted(scored, key=lambda one: (-one[0], one[1]))[:SNIPPETS], key=lambda one: one[1])
    chosen = [sentences[number] for count, number in best if count] or _beginning(sentences)
    return [_snippet(text, start, end, spans) for start, end in chosen]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What to mark: `chinese` finds the longest of the question's Chinese words at each place, `words` are the stems of others.

    `has_regional` says that the question has words that are folded as words, not character by character: 程式 is 程序.
    """

    chinese: re.Pattern[str] | None
    words: frozenset[str]
    has_regional: bool


@lru_cache(maxsize=1000)
def _terms(question: str) -> _Terms:
    """Pairs of characters, which the index has too, are marked only where they are not words: 年有 of 每年有 is nothing to look at."""
    terms = frozenset(analyze(question))
    known = frozenset(word for run in RUN.finditer(fold(question)) if run[1] for word in chinese_words(run[1]))
    words = frozenset(term for term in terms if not is_han(term))
    chinese = known & terms or (frozenset() if words else terms)
    longest_first = sorted(chinese, key=lambda term: (-len(term), term))
    pattern = re.compile(f"(?=({'|'.join(longest_first)}))") if chinese else None
    return _Terms(pattern, words, has_regional=fold(question) != clean_text(question).translate(_folds))


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


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence in pieces that can be shown: cut between words, and where there is no blank, between what readers see as characters."""
    while end - start > SNIPPET_CHARS:
        stop = start + SNIPPET_CHARS
        blank = text.rfind(" ", start + SNIPPET_CHARS // 2, stop)
        while blank < 0 and stop - start > SNIPPET_CHARS // 2 and (_joins(text[stop]) or text[stop - 1] == _JOINER):
            stop -= 1
        stop = blank + 1 if blank >= 0 else stop
        yield start, stop
        start = stop
    yield start, end


def _whole(text: str, end: int) -> int:
    """`end`, moved behind the marks of its last letter: é with a second accent is a letter and a mark even where all is composed."""
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return end


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it: marks of letters, what changes or joins emoji."""
    return unicodedata.category(character) in ("Mn", "Me", "Mc") or character == _JOINER or "\U0001f3fb" <= character <= "\U0001f3ff"


def _folded(text: str, *, by_words: bool) -> tuple[str, Sequence[tuple[int, int]] | None]:
    """The text folded as the index folds it, and where in the text each folded character comes from; None where each is at its own place.

    Most texts are folded character by character, in a tenth of the time. Those with traditional characters (and all `by_words`) may hold
    words that are folded as words: 軟體 is 软件.
    """
    if text.isascii():
        return text.lower(), None
    folded = text.translate(_folds)
    regional = (by_words or not _folds.traditional.isdisjoint(text)) and simplify(text).translate(_folds) != folded
    if regional or not unicodedata.is_normalized("NFC", text):
        return _folded_by_words(text)
    if len(folded) == len(text):  # no character becomes nothing, so each is one
        return folded, None
    return folded, [(place, place + 1) for place, character in enumerate(text) for _ in character.translate(_folds)]


def _folded_by_words(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The same for texts whose words change as such, and for letters with their marks apart, which are one letter to the index."""
    letters, places = "", list[tuple[int, int]]()
    for start, end in _letters(text):
        plain = unicodedata.normalize("NFKC", text[start:end]).casefold().replace("’", "'")
        letters += plain
        places += [(start, end)] * len(plain)
    folded, of_folded, done = "", list[tuple[int, int]](), 0
    for run in _HAN_RUN.finditer(letters):
        folded += letters[done : run.start()]
        of_folded += places[done : run.start()]
        words, places_of_words = _run_by_words(run[0], places[run.start() : run.end()])
        folded, of_folded, done = folded + words, of_folded + places_of_words, run.end()
    return folded + letters[done:], of_folded + places[done:]


def _letters(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each character with the marks that follow it."""
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or not unicodedata.combining(text[place]):
            yield start, place
            start = place


def _run_by_words(run: str, places: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """A run of Han characters folded as a whole. Characters of a word that becomes another one of another length are each at all of it."""
    single, whole = run.translate(_folds), fold(run)
    if single == whole or len(single) != len(run):
        return single, [place for character, place in zip(run, places, strict=True) for _ in character.translate(_folds)]
    found: list[tuple[int, int]] = []
    at = 0
    for alike in SequenceMatcher(None, single, whole, autojunk=False).get_matching_blocks():
        changed, into = places[at : alike.a], alike.b - len(found)
        if alike.size and bool(changed) != bool(into):  # 網際網路 is 互联网: no character of it stands before its first one
            continue
        spread = changed or places[at - 1 : at]
        found += changed if len(changed) == into else [(spread[0][0], spread[-1][1])] * into
        found += places[alike.a : alike.a + alike.size]
        at = alike.a + alike.size
    return whole, found


_stem = lru_cache(maxsize=50_000)(stem)


class _Folds(dict[int, str]):
    """What each character is folded to, for `str.translate`, worked out when it is first met: at most as many as Unicode has.

    `traditional` are those met so far that are no simplified ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.traditional: set[str] = set()

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = character.lower() if code < 128 else fold(character) or unicodedata.normalize("NFKC", character).casefold()
        if simplify(character) != character:
            self.traditional.add(character)
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
