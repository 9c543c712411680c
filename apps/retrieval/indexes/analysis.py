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

# Part of what an index was built with: change it with every change of `analyze` or of the fields, so that old indexes are built anew.
ANALYSIS = "jieba+pairs+snowball/2"
MAX_TERM_CHARS = 40

# Words that tell no two questions apart. Question words and negations do, and stay: "how" and "when" ask different things.
# Leaving these out moved top-1 of BM25 from .514 to .564 and from .385 to .389 on two English FAQ sets.
_FUNCTION_WORDS = (
    "a an and are as at be by for if in into is it of on or that the there these this to was with i you my your do does did am"
)
ENGLISH_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
CHINESE_PARTICLES = frozenset("的了吗呢吧啊呀么")

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = rf"[^\W_{HAN}]+(?:'[a-z]+|(?<=[a-z])(?:\+\+|\#))?"  # don't, c++, c#
# Runs of Han characters (group 1), and of other letters and digits (group 2), in a folded text; and the latter alone.
RUN = re.compile(f"([{HAN}]+)|({_WORD})")
WORD = re.compile(f"({_WORD})")
_local = threading.local()


def analyze(text: str) -> list[str]:
    """The terms of a text in order, as they are both indexed and searched; none contains white space.

    Width, case and traditional characters are folded (NFKC, casefold, OpenCC tw2sp). Han runs give their words (jieba,
    search mode, dictionary only) and every pair of neighbouring characters; other runs of letters and digits give their
    English Snowball stem. Stop words and particles are left out unless there is nothing else. Words and pairs together had
    the best top-1 and MRR of eight ways tried on a Chinese FAQ set (.505, .621; words .500, .619; pairs .496, .613).
    """
    runs: list[tuple[str, str]] = RUN.findall(fold(text))
    return _terms(runs, keep_all=False) or _terms(runs, keep_all=True)


def fold(text: str) -> str:
    """The text in compatibility form, lower case, simplified characters and mainland words. OpenCC costs 4 µs for a question.

    帐 becomes 账: both are written in 账单, 账户 and 账号.
    """
    folded = unicodedata.normalize("NFKC", clean_text(text)).casefold().replace("’", "'")
    return folded if folded.isascii() else str(_simplifier().convert(folded)).replace("帐", "账")


def simplify(text: str) -> str:
    """The text in simplified characters and mainland words, all else as it is: how encoders are given it."""
    return text if text.isascii() else str(_simplifier().convert(text))


def _terms(runs: list[tuple[str, str]], *, keep_all: bool) -> list[str]:
    terms: list[str] = []
    for han, word in runs:
        if han:
            terms += [part for part in rjieba.cut_for_search(han, False) if keep_all or part not in CHINESE_PARTICLES]
            terms += [han[i : i + 2] for i in range(len(han) - 1)]
        elif keep_all or word not in ENGLISH_STOP_WORDS:
            terms.append(stem(word[:MAX_TERM_CHARS]))
    return terms


def is_han(term: str) -> bool:
    """Whether a term is of Han characters."""
    found = RUN.match(term)
    return found is not None and bool(found[1])


def chinese_words(run: str) -> list[str]:
    """The words of a run of Han characters that have two or more; single characters in a row, which are no known word, by pairs."""
    words: list[str] = []
    single = ""
    for part in [*rjieba.cut(run, False), "  "]:
        if len(part) == 1:
            single += part
            continue
        words += [single[at : at + 2] for at in range(len(single) - 1)] + ([part] if part.strip() else [])
        single = ""
    return words


def stem(word: str) -> str:
    """The English Snowball stem of one folded word; a word of another language mostly stays."""
    stems = _stemmer().analyze(word)
    return stems[0] if stems else word


@cache
def _stemmer() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer("english")).build()


def _simplifier() -> opencc.OpenCC:
    """One converter a thread: OpenCC does not say that it may be shared. Making one takes 6 ms."""
    if not hasattr(_local, "simplifier"):
        _local.simplifier = opencc.OpenCC("tw2sp")
    found: opencc.OpenCC = _local.simplifier
    return found
