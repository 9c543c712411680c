"""How a text is cleaned, compared and told apart by language. Pure functions, no models."""

from __future__ import annotations

import re
import unicodedata

from core.types import Locale

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
_MEANING = frozenset("+#%&$€£¥°")
_SPACE = re.compile(r"\s+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_LATIN = re.compile(r"[A-Za-z]+")
# Radicals that fonts of PDF files pass off as characters. Those of Kangxi have an NFKC form, those of the supplement (simplified) none.
_RADICALS = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0x2F00, 0x2FD6)} | {
    ord(radical): char
    for radical, char in zip(
        "⺟⺠⻁⻄⻅⻆⻉⻋⻓⻔⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻨⻩⻬⻮⻰⻳", "母民虎西见角贝车长门青韦页风飞食马骨鬼鱼鸟麦黄齐齿龙龟", strict=True
    )
}
_RADICAL = re.compile(r"[\u2e80-\u2fd5]")


def clean_text(text: str) -> str:
    """The text without control, bidirectional and zero-width characters, its white space folded to single blanks."""
    return _SPACE.sub(" ", _CONTROL.sub("", text)).strip()


def clean_answer(text: str) -> str:
    """Like `clean_text`, but line breaks and tabs stay: what a curator wrote is shown word for word."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def plain_han(text: str) -> str:
    """The text with characters where a PDF's font left radicals that look the same: `员⼯` becomes `员工`. Its length stays."""
    return text.translate(_RADICALS) if _RADICAL.search(text) else text


def normalize(text: str) -> str:
    """The form in which two texts are the same question: NFKC, lower case, letters, digits and symbols that change meaning.

    Full- and half-width forms, case, punctuation and spaces do not count; `C++`, `C#`, `5%` and `$5` stay themselves.
    A text of other symbols alone keeps them.
    """
    folded = unicodedata.normalize("NFKC", clean_text(text)).casefold()
    kept = "".join(char if unicodedata.category(char)[0] in "LNM" or char in _MEANING else " " for char in folded)
    kept = _SPACE.sub(" ", kept).strip()
    kept = re.sub(r"(?<=[^\x00-\x7f]) | (?=[^\x00-\x7f])", "", kept)
    return kept or folded


def guess_locale(text: str) -> Locale:
    """Chinese if Han characters outnumber Latin words, else English. Mixed questions count by words, not letters."""
    return Locale.ZH if len(_HAN.findall(text)) > len(_LATIN.findall(text)) else Locale.EN


def has_letters(text: str) -> bool:
    """Whether there is anything to tell a language by."""
    return any(char.isalpha() for char in text)
