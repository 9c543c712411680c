"""Does a source say this? Checks one written sentence against the sentences of the sources, by words, numbers and meaning.

First what needs no weighing: every number, name and code of the sentence stands in the place that supports it, a number behind the
same code, and both deny or both do not. Then enough of its words must stand there, enough of them in the same order and beside each
other, it must neither begin nor break off within a clause, and the meaning must be near: least values, fitted for the encoder.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import pairwise

import rjieba

from apps.retrieval.grounding.orders import is_order
from apps.retrieval.grounding.prompt import QuotedText
from apps.retrieval.indexes.analysis import CHINESE_PARTICLES, ENGLISH_STOP_WORDS, RUN, fold, simplify, stem
from apps.retrieval.query_layer.numbers import in_figures
from apps.retrieval.vectors.encoding import encoder
from apps.retrieval.vectors.token_vectors import weights_of
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from core.sentences import is_heading, sentence_spans
from core.text import guess_locale
from core.types import FloatArray, JSONDict, JSONValue, Locale, Role

log = logging.getLogger(__name__)

FEWEST = 2  # words and numbers of a sentence: one alone states nothing
COMPARED = 3  # places with the most of a sentence's words, whose meaning is compared
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CODE_OR_NUMBER = re.compile(r"\b[a-z]{1,4}-?\d+[a-z]?\b|(?<![a-z])\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"\b[A-Za-z][\w'’-]*(?:[.@/][\w-]+)*")
_FIGURES = {word: str(value) for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
)} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100", "thousand": "1000"}  # fmt: skip
_DENIAL = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|unable|except|unless)\b|n't\b"
    r"|不(?!过|同|仅|但|锈|超过|少于|低于|高于|晚于|早于|足|满|断|久|妨)|没|无(?!线|论|需)|未(?!来)|勿|别(?!的|人|墅)|禁|除外"
)
_SAYING_LITTLE = CHINESE_PARTICLES | frozenset(
    ["是", "您", "你", "我", "请", "会", "要", "就", "也", "都", "可以", "可", "和", "与", "或", "及", "在"]
)
_CLAUSE_END = re.compile(r"[,，、;；。.:：!?！？()（）…\n]+(?=\s|$|[^\x00-\x7f])")
_MORE = re.compile(r"(?<=[特分级类个性区])别|非常")


class Verdict(StrEnum):
    """Whether a source supports a sentence, or what speaks against it."""

    SUPPORTED = "supported"
    NUMBER = "number"
    NAME = "name"
    DENIAL = "denial"
    UNLIKE = "unlike"
    ORDER = "order"


@dataclass(frozen=True, kw_only=True, slots=True)
class Support:
    """What was found for a sentence: the source that says it best, how like it is in each feature (0..1), and the verdict."""

    verdict: Verdict
    source: int | None = None
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupportFit:
    """The least values of the features at which a source supports a sentence, for the encoder `encoder`; `provenance` says what they rest on."""

    encoder: str
    least: Mapping[str, float]
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)

    def accepts(self, features: Mapping[str, float]) -> bool:
        """Whether a place with these features supports the sentence. What is not known is not asked for."""
        return all(features[name] >= least for name, least in self.least.items() if name in features)


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


class Evidence:
    """The sources of one answer, ready to be compared with sentences. Places are encoded when a sentence first comes near them."""

    def __init__(self, sources: Sequence[QuotedText]) -> None:
        self._places = [place for source in sources for place in places_of(source)]
        self._vectors: dict[str, FloatArray] = {}

    def check(self, sentence: str, cited: Sequence[int] = ()) -> Support:
        """The best support that any place gives; of equally good ones, from a source that the sentence itself names."""
        if is_order(sentence):
            return Support(verdict=Verdict.ORDER)
        terms, names, codes = content_terms(sentence), names_in(sentence), codes_before_numbers(sentence)
        numbers = numbers_in(sentence)
        if len(terms) + len(numbers) < FEWEST or not self._places:
            return Support(verdict=Verdict.UNLIKE)
        fitting = [place for place in self._places if numbers <= place.numbers and _agree(codes, place.codes)]
        if not fitting:
            return Support(verdict=Verdict.NUMBER)
        fitting = [place for place in fitting if names <= place.names]
        if not fitting:
            return Support(verdict=Verdict.NAME)
        denies = is_denial(sentence)
        agreeing = [place for place in fitting if place.denies == denies and not place.headed.issuperset(terms)]
        if not agreeing:
            return Support(verdict=Verdict.DENIAL)
        near = sorted(agreeing, key=lambda place: (-_likeness(terms, place), place.source not in cited))[:COMPARED]
        cosines, fit = self._cosines(sentence, near)
        found = [
            Support(verdict=Verdict.SUPPORTED if fit.accepts(features) else Verdict.UNLIKE, source=place.source, features=features)
            for place, cosine in zip(near, cosines, strict=True)
            for features in [features_of(terms, place, cosine)]
        ]
        return next((support for support in found if support.verdict is Verdict.SUPPORTED), found[0])

    def _cosines(self, sentence: str, places: Sequence[Place]) -> tuple[list[float | None], SupportFit]:
        """The cosine of the sentence to each place, and the fit to use; without an encoder, words alone decide."""
        missing = [place.text for place in places if place.text not in self._vectors]
        try:
            model = encoder()
            rows = model.encode([simplify(text) for text in (sentence, *missing)], Role.QUERY)
            fit = load_support(model.model_id)
        except (ModelUnavailable, Overloaded, DeadlineExceeded) as error:
            log.warning("sentence checked by words alone error=%s", error.code)
            return [None] * len(places), fallback()
        self._vectors.update(zip(missing, rows[1:], strict=True))
        return [float(rows[0] @ self._vectors[place.text]) for place in places], fit


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


def _agree(codes: Mapping[str, frozenset[str]], others: Mapping[str, frozenset[str]]) -> bool:
    """Whether no number stands behind one code here and behind others alone there."""
    return all(not own or not others.get(number) or own & others[number] for number, own in codes.items())


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


def load_support(model_id: str) -> SupportFit:
    """The fit for this encoder; for one that none was made for, words alone."""
    return _packaged().get(weights_of(model_id)) or fallback()


@cache
def fallback() -> SupportFit:
    """For unknown encoders, and where none answers: nearly all words must be the source's, most of them in its order."""
    return SupportFit(encoder="", least={"words": 0.95, "order": 0.7, "pairs": 0.7})


def parse_support(content: str) -> SupportFit:
    """A fit from its JSON text. Raises ValueError, KeyError or TypeError where it is none."""
    return SupportFit(**json.loads(content))


def dump_support(fit: SupportFit) -> str:
    """The JSON text that `parse_support` reads."""
    row: JSONDict = asdict(fit)
    return json.dumps(row, indent=1, ensure_ascii=False) + "\n"


@cache
def _packaged() -> dict[str, SupportFit]:
    folder = resources.files("apps.retrieval.grounding").joinpath("supports")
    files = [file for file in folder.iterdir() if file.name.endswith(".json")] if folder.is_dir() else []
    fits = (parse_support(file.read_text(encoding="utf-8")) for file in files)
    return {weights_of(fit.encoder): fit for fit in fits}


def features_of(terms: Sequence[str], place: Place, cosine: float | None) -> dict[str, float]:
    """What tells whether a place supports a sentence of these terms, each from 0 to 1."""
    pairs, theirs = set(pairwise(terms)), set(pairwise(place.terms))
    features = {
        "words": len(set(terms) & set(place.terms)) / len(set(terms)),
        "order": _longest_common(terms, place.terms) / len(terms),
        "pairs": len(pairs & theirs) / len(pairs) if pairs else 1.0,
        "starts": float(terms[0] in place.starts),
        "ends": float(terms[-1] in place.ends),
    }
    return features if cosine is None else {**features, "cosine": cosine}


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


def _likeness(terms: Sequence[str], place: Place) -> float:
    return sum(features_of(terms, place, None).values())


def _longest_common(terms: Sequence[str], others: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    lengths = [0] * (len(others) + 1)
    for term in terms:
        diagonal = 0
        for place, other in enumerate(others, 1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if term == other else max(above, lengths[place - 1])
            diagonal = above
    return lengths[-1]


def _plain_number(number: str) -> str:
    """1,299 as 1299, 10.50 as 10.5, 08:00 as 8:00."""
    if ":" in number:
        return number.lstrip("0") or "0"
    plain = re.sub(r",(?=\d{3}(?:\D|$))", "", number)
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain).lstrip("0") or "0"
