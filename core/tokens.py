"""How many tokens is a text, roughly? For counting where no tokenizer is at hand: a web process may have none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_LATIN_WORD = re.compile(r"[A-Za-z]+")
_PER_WORD, _PER_LETTER, _PER_OTHER = 0.92, 0.063, 0.79


def estimate_tokens(text: str) -> int:
    """An estimate of the tokens that a multilingual subword tokenizer makes of a text; 0 for a blank one.

    Linear in Latin words, their letters and all other characters but blanks. The weights are the least squares fit to
    the tokenizer of XLM-RoBERTa on the 2,558 questions and answers of the demo; in sum they are 3 to 5 % high in Chinese and
    in English, for 9 of 10 texts between 17 % low and 40 % high. Tokenizers made for Chinese alone need about a fifth less.
    """
    words = _LATIN_WORD.findall(text)
    letters = sum(map(len, words))
    others = len("".join(text.split())) - letters
    return math.ceil(_PER_WORD * len(words) + _PER_LETTER * letters + _PER_OTHER * others)


def estimate_all(texts: Iterable[str]) -> int:
    """The tokens of all the texts together."""
    return sum(map(estimate_tokens, texts))
