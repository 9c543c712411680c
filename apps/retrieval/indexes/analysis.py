"""Which terms does a text have for the lexical index? Folding, Chinese words and character pairs, English stems."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache

import opencc
import rjieba
import tantivy

from core.text import clean_text

# Part of what an index was built with: change it with every change of `analyze`, so that old indexes are built anew.
ANALYSIS = "jieba+pairs+snowball/1"
MAX_TERM_CHARS = 40

_RUN = re.compile(r"([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+)|([^\W_]+(?:['’][a-z]+)?)")
_local = threading.local()


def analyze(text: str) -> list[str]:
    """The terms of a text in order, as they are both indexed and searched; none contains white space.

    Width, case and traditional characters are folded (NFKC, casefold, OpenCC t2s). Han runs give their words
    (jieba, search mode) and every pair of neighbouring characters; other runs of letters and digits give
    their English Snowball stem.
    """
    terms: list[str] = []
    for han, word in _RUN.findall(fold(text)):
        if han:
            terms += _han_terms(han)
        else:
            terms.append(_stem(word[:MAX_TERM_CHARS]))
    return terms


def fold(text: str) -> str:
    """The text in compatibility form, lower case and simplified characters. OpenCC costs 2 µs for a question."""
    folded = unicodedata.normalize("NFKC", clean_text(text)).casefold()
    return folded if folded.isascii() else str(_simplifier().convert(folded))


def _han_terms(run: str) -> list[str]:
    words = [word for word in rjieba.cut_for_search(run) if len(word) != 2]
    pairs = [run[i : i + 2] for i in range(len(run) - 1)]
    return words + pairs


def _stem(word: str) -> str:
    stems = _stemmer().analyze(word)
    return stems[0] if stems else word


@cache
def _stemmer() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer("english")).build()


def _simplifier() -> opencc.OpenCC:
    """One converter a thread: OpenCC does not say that it may be shared. Making one takes 6 ms."""
    if not hasattr(_local, "simplifier"):
        _local.simplifier = opencc.OpenCC("t2s")
    found: opencc.OpenCC = _local.simplifier
    return found
