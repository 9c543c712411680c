"""Where do sentences begin and end, and how long is a text for an encoder? Chinese and English, no models."""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"[。！？!?；…]+[”’」』）)\]】》\"']*|[.]+[”’」』)\]\"']*(?=\s|$)|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“])(?:[A-Za-z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|No|Nos|vs|cf|al|Fig|Figs|Eq|Sec|Ch|Vol|pp|ed|eds|Inc|Ltd|Co|Corp|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|approx|dept|est|Gen|Col|Lt|Sgt|Rev|Hon|Gov|Sen|Rep)\.$"
)
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]")
_WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+")
_DIGIT = re.compile(r"\d")
_SYMBOL = re.compile(r"[^\w\s]|_")
_LONG_WORD = 6
_BLANK_LINE = "\n\n"
_CLOSING = "。！？!?；;.…:：”’」』)）]\"'"
_MAX_HEADING_CHARS = 80


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence in order, without the white space around it; together they hold every visible character.

    A line break ends a sentence. A full stop does so before white space only, and not after an initial or an abbreviation.
    """
    start = 0
    for found in _END.finditer(text):
        if found[0][0] == "." and _is_abbreviation(text, start, found.end()):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, len(text))


def is_heading(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` stands alone between blank lines, before other text, and does not end as a sentence does."""
    alone = (start == 0 or text.endswith(_BLANK_LINE, 0, start)) and text.startswith(_BLANK_LINE, end)
    return alone and text[end - 1] not in _CLOSING and end - start <= _MAX_HEADING_CHARS


def estimate_tokens(text: str) -> float:
    """About how many tokens a multilingual subword tokenizer makes of the text.

    Weights fitted to the default encoder's tokenizer on English and Chinese prose: between the 5th and the 95th percentile
    of texts the truth is 0.9 to 1.25 times the estimate.
    """
    words = _WORD.findall(text)
    letters_over = sum(len(word) - _LONG_WORD for word in words if len(word) > _LONG_WORD)
    han, digits, symbols = len(_HAN.findall(text)), len(_DIGIT.findall(text)), len(_SYMBOL.findall(text))
    return 0.68 * han + 1.15 * len(words) + 0.1 * letters_over + 0.45 * digits + 1.15 * symbols


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    """Whether the full stop before `end` belongs to an abbreviation, and the sentence goes on."""
    return bool(_ABBREVIATION.search(text[max(start, end - 16) : end]))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    if lead < len(piece):
        yield start + lead, end - (len(piece) - len(piece.rstrip()))
