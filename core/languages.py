"""Which language is a text in? By its script, and for Latin letters by the small words that every sentence has."""

from __future__ import annotations

import re

_SAMPLE_CHARS = 4000
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]"), 6.0),  # a Japanese text is part Han: a few kana tell
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"), 2.5),  # one Han character says as much as half a word
    ("ko", re.compile(r"[\uac00-\ud7af]"), 2.0),
    ("ru", re.compile(r"[\u0400-\u04ff]"), 1.0),
    ("ar", re.compile(r"[\u0600-\u06ff]"), 1.0),
    ("th", re.compile(r"[\u0e00-\u0e7f]"), 1.0),
    ("el", re.compile(r"[\u0370-\u03ff]"), 1.0),
    ("he", re.compile(r"[\u0590-\u05ff]"), 1.0),
    ("hi", re.compile(r"[\u0900-\u097f]"), 1.0),
    ("", re.compile(r"[A-Za-z\u00c0-\u024f]"), 1.0),
)
_LEAST_SHARE = 0.06  # of a text's words: sentences have three to five times as many small ones, a list of names has the van of one of them
_WORD = re.compile(r"[a-z\u00df-\u024f]+")
_SMALL_WORDS = {
    "en": "the a an of and to in is that for it was with as on be are this by at from or have not which you i we he they here",
    "de": "der die das und ist in den von zu mit sich des auf für nicht ein eine dem im als auch es wird",
    "fr": "le la les de des et est un une dans que qui pour sur pas au plus avec ce sont par il du",
    "es": "el la los las de y en que un una es por con para del se al lo como más pero su",
    "it": "il la di e che in un una per è con non sono del della gli le si da al anche",
    "pt": "o a os as de e que em um uma para com não do da no na por se mais é ao",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er die ook om als",
}
_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_language)


def guess_language(text: str) -> str:
    """The language's two-letter code (ISO 639-1), empty for a text without letters. Judged by the text's first 4,000 characters."""
    sample = text[:_SAMPLE_CHARS]
    weights = {language: weight * len(pattern.findall(sample)) for language, pattern, weight in _SCRIPTS}
    language = max(weights, key=weights.__getitem__)
    if not weights[language]:
        return ""
    return language or _by_small_words(sample)


def _by_small_words(text: str) -> str:
    """The language whose small words are most; English where they are too few. A word of several languages counts in part for each."""
    counts, words = {"en": 0.5}, _WORD.findall(text.lower())
    for word in words:
        languages = _LANGUAGES_OF.get(word, [])
        for language in languages:
            counts[language] = counts.get(language, 0.0) + 1 / len(languages)
    language = max(counts, key=counts.__getitem__)
    return language if counts[language] >= _LEAST_SHARE * len(words) else "en"
