"""Does a source say this? Checks one written sentence against the sentences of the sources, by words, numbers and meaning.

First what needs no weighing: every number, name and code of the sentence stands in the place that supports it, a number behind the
same code, and both deny or both do not. Then a logistic function, fitted for the encoder, of the cosine, of the share of the sentence's
words that stand there, and of the share that stand there in the same order.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources

from apps.retrieval.encoding import encoder
from apps.retrieval.grounding.orders import is_order
from apps.retrieval.grounding.prompt import PromptSource
from apps.retrieval.indexes.analysis import analyze, fold, simplify
from apps.retrieval.query_layer.numbers import in_figures
from apps.retrieval.token_vectors import weights_of
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from core.sentences import sentence_spans
from core.text import guess_locale
from core.types import FloatArray, JSONDict, JSONValue, Locale, Role

log = logging.getLogger(__name__)

COMPARED = 3  # places with the most of a sentence's words, whose meaning is compared
JOINED = 2  # sentences of a place, at most
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
    """What was found for a sentence: the source that says it best, how likely that one supports it (0..1), and the verdict."""

    verdict: Verdict
    source: int | None = None
    probability: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupportFit:
    """A logit's weights for the encoder `encoder`; at least `threshold` counts as supported. `provenance` says what they rest on."""

    encoder: str
    weights: Mapping[str, float]
    intercept: float
    threshold: float
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)

    def probability(self, features: Mapping[str, float]) -> float:
        """How likely a place with these features supports the sentence."""
        return 1.0 / (1.0 + math.exp(-(self.intercept + sum(self.weights.get(name, 0.0) * value for name, value in features.items()))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One or two neighbouring sentences of a source; all but `text` and `denies` count what the source stands under, too.

    `codes` are the codes that stand before each number.
    """

    source: int
    text: str
    terms: tuple[str, ...]
    numbers: frozenset[str]
    codes: Mapping[str, frozenset[str]]
    names: frozenset[str]
    denies: bool


class Evidence:
    """The sources of one answer, ready to be compared with sentences. Places are encoded when a sentence first comes near them."""

    def __init__(self, sources: Sequence[PromptSource]) -> None:
        self._places = [place for source in sources for place in places_of(source)]
        self._vectors: dict[str, FloatArray] = {}

    def check(self, sentence: str, cited: Sequence[int] = ()) -> Support:
        """The best support that any place gives; of equally good ones, from a source that the sentence itself names."""
        if is_order(sentence):
            return Support(verdict=Verdict.ORDER)
        terms, names, codes = analyze(sentence), names_in(sentence), codes_before_numbers(sentence)
        if not terms or not self._places:
            return Support(verdict=Verdict.UNLIKE)
        numbers = numbers_in(sentence)
        fitting = [place for place in self._places if numbers <= place.numbers and _agree(codes, place.codes)]
        if not fitting:
            return Support(verdict=Verdict.NUMBER)
        fitting = [place for place in fitting if names <= place.names]
        if not fitting:
            return Support(verdict=Verdict.NAME)
        denies = is_denial(sentence)
        agreeing = [place for place in fitting if place.denies == denies]
        if not agreeing:
            return Support(verdict=Verdict.DENIAL)
        near = sorted(agreeing, key=lambda place: (-_share(terms, place.terms), place.source not in cited))[:COMPARED]
        cosines, fit = self._cosines(sentence, near)
        best = Support(verdict=Verdict.UNLIKE)
        for place, cosine in zip(near, cosines, strict=True):
            features = features_of(terms, place.terms, cosine)
            probability = fit.probability(features)
            if probability > best.probability:
                verdict = Verdict.SUPPORTED if probability >= fit.threshold else Verdict.UNLIKE
                best = Support(verdict=verdict, source=place.source, probability=probability, features=features)
        return best

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


def places_of(source: PromptSource) -> list[Place]:
    """Each sentence of a source, and each with the one that follows it."""
    spans = list(sentence_spans(source.text))
    found = []
    for first in range(len(spans)):
        for last in range(first, min(first + JOINED, len(spans))):
            text = source.text[spans[first][0] : spans[last][1]]
            context = f"{source.head}\n{text}"
            found.append(
                Place(
                    source=source.number, text=text, terms=tuple(analyze(context)), numbers=numbers_in(context),
                    codes=codes_before_numbers(context), names=frozenset(map(_folded_name, _NAME.findall(context))), denies=is_denial(text),
                )
            )  # fmt: skip
    return found


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
    """For unknown encoders, and where none answers: four fifths of the words must be the source's."""
    return SupportFit(encoder="", weights={"words": 20.0}, intercept=-16.0, threshold=0.5)


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


def features_of(terms: Sequence[str], others: Sequence[str], cosine: float | None) -> dict[str, float]:
    """What tells whether a place with the terms `others` supports a sentence of the terms `terms`."""
    features = {"words": _share(terms, others), "order": _longest_common(terms, others) / len(terms)}
    return features if cosine is None else {**features, "cosine": cosine}


def _share(terms: Sequence[str], others: Sequence[str]) -> float:
    return len(set(terms) & set(others)) / len(set(terms))


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
