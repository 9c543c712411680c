"""How does a text that comes in chunks become sentences, each with the sources that it names?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.sentences import sentence_spans

_CITED = re.compile(r"\s*[\[【［]\s*(?:source|来源|资料)?\s*(\d{1,2}(?:\s*[,，、;；]\s*\d{1,2})*)\s*[\]】］]", re.IGNORECASE)
_UNFINISHED = re.compile(r"[\[【［][^\]】］]{0,24}$")
_LIST_MARK = re.compile(r"(?:\(?\d{1,2}[.)、]|[-*•·])$")
_QUOTES = "”’」』)）]\"'"
_CLOSING = "。！？!?；;.…:："


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A sentence that a model wrote, without the numbers of the sources that it names (`cited`).

    `lead` is what stands before it: a list's mark. `begins_line` says that it begins a new line.
    """

    text: str
    cited: tuple[int, ...] = ()
    lead: str = ""
    begins_line: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it ends as a sentence does: one that was cut off need not."""
        return self.text[-1] in _CLOSING + _QUOTES

    def shown(self, source: int | None, mark: str = "") -> str:
        """The sentence with the number of the source that supports it, or with a mark, before its full stop."""
        at = len(self.text.rstrip(_CLOSING)) or len(self.text)
        note = f"[{source}]" if source is not None else mark
        gap = " " if note and self.text[:at][-1:].isascii() else ""
        return f"{self.lead}{self.text[:at]}{gap}{note}{self.text[at:]}"


def claims_of(texts: Iterable[str]) -> Iterator[Claim]:
    """The sentences in order, each as soon as the next one has begun: a number of a source may stand behind the full stop."""
    lead, begins_line = "", False
    for piece in _pieces(texts):
        begins_line = begins_line or "\n" in piece[: len(piece) - len(piece.lstrip())]
        plain = _CITED.sub("", piece).strip()
        if _LIST_MARK.match(plain):
            lead = f"{plain} "
            continue
        if any(char.isalnum() for char in plain):
            cited = [int(number) for found in _CITED.finditer(piece) for number in re.findall(r"\d+", found[1])]
            yield Claim(text=plain, cited=tuple(dict.fromkeys(cited)), lead=lead, begins_line=begins_line)
        lead, begins_line = "", False


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The sentences as they were written: with the white space before and the sources named behind."""
    waiting = ""
    for text in texts:
        waiting += text
        while (end := _first_end(waiting)) is not None:
            yield waiting[:end]
            waiting = waiting[end:]
    while waiting.strip():
        end = _first_end(waiting) or len(waiting)
        yield waiting[:end]
        waiting = waiting[end:]


def _first_end(text: str) -> int | None:
    """Where the first sentence ends together with the sources named behind it; None where that is not known yet."""
    masked = _CITED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    spans = list(sentence_spans(masked))
    if len(spans) < 2 or _UNFINISHED.match(text, spans[1][0]):
        return None
    return len(text[: spans[1][0]].rstrip())
