"""Does a source say this? Checks one written sentence against the sentences of the sources, by words, numbers and meaning.

First what needs no weighing: every number, name and code of the sentence stands in the place that supports it, a number behind the
same code, and both deny or both do not. Then enough of its words must stand there, enough of them in the same order and beside each
other, it must neither begin nor break off within a clause, and the meaning must be near: least values, fitted for the encoder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import groupby, pairwise

from apps.retrieval.grounding.orders import is_order
from apps.retrieval.grounding.places import Place, codes_before_numbers, content_terms, is_denial, names_in, numbers_in, places_of
from apps.retrieval.grounding.prompt import QuotedText
from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.vectors.encoding import encoder
from apps.retrieval.vectors.token_vectors import weights_of
from core.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from core.types import FloatArray, JSONDict, JSONValue, Role

log = logging.getLogger(__name__)

FEWEST = 2  # words and numbers of a sentence: one alone states nothing
COMPARED = 3  # places with the most of a sentence's words, whose meaning is compared
COVERED = 0.75  # share of a sentence's words that stand in a source which may mean the same: of what a model made up less did (ADR 0026)


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
    judged: bool | None = None  # what a generator said that was asked for the meaning


@dataclass(frozen=True, kw_only=True, slots=True)
class SupportFit:
    """The least values of the features at which a source supports a sentence, for the encoder `encoder`; `provenance` says what they rest on."""

    encoder: str
    least: Mapping[str, float]
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)

    def accepts(self, features: Mapping[str, float]) -> bool:
        """Whether a place with these features supports the sentence. What is not known is not asked for."""
        return all(features[name] >= least for name, least in self.least.items() if name in features)


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

    def arguable(self, sentence: str, cited: Sequence[int] = ()) -> int | None:
        """The number of the source that may mean what the sentence says in other words: the likest of those where nothing speaks against it.

        All numbers, names and codes of the sentence and most of its words stand in that source, be it in several sentences, and
        where it is most like the sentence, both deny or both do not. None without such a source, for orders, and for what states nothing.
        """
        terms = content_terms(sentence)
        if is_order(sentence) or len(terms) + len(numbers_in(sentence)) < FEWEST:
            return None
        denies = is_denial(sentence)
        by_source = [list(places) for _, places in groupby(self._places, key=lambda place: place.source)]
        likest = [max(places, key=lambda place: _likeness(terms, place)) for places in by_source if _holds(places, sentence, terms)]
        agreeing = [place for place in likest if place.denies == denies]
        best = max(agreeing, key=lambda place: (place.source in cited, _likeness(terms, place)), default=None)
        return None if best is None else best.source

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


def _holds(places: Sequence[Place], sentence: str, terms: Sequence[str]) -> bool:
    """Whether the places together have the sentence's numbers, each behind the same code, its names, and most of its terms beyond a heading's."""
    numbers, said = numbers_in(sentence), frozenset(terms)
    codes = {number: frozenset[str]().union(*(place.codes.get(number, ()) for place in places)) for number in numbers}
    return (
        numbers <= frozenset[str]().union(*(place.numbers for place in places))
        and names_in(sentence) <= frozenset[str]().union(*(place.names for place in places))
        and _agree(codes_before_numbers(sentence), codes)
        and len(said & frozenset[str]().union(*(place.terms for place in places))) >= COVERED * len(said)
        and not any(place.headed.issuperset(said) for place in places)
    )


def _agree(codes: Mapping[str, frozenset[str]], others: Mapping[str, frozenset[str]]) -> bool:
    """Whether no number stands behind one code here and behind others alone there."""
    return all(not own or not others.get(number) or own & others[number] for number, own in codes.items())


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
