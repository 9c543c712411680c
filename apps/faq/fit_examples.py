"""What the fit of FAQ matching learns from: questions with their candidates, over knowledge bases of many shapes.

One set of FAQs is looked at in eight shapes, because a curator's base may be any of them: every phrasing stored, one
phrasing stored (twice, by chance), half of the FAQs hidden (their questions then have no answer), and small bases of 2, 5 and 20 FAQs.
"""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.faq.features import Asked, Candidate, mean_nearest_cosine, pair_features, settled_density
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from apps.retrieval.vectors.token_vectors import TokenProjection
from core.maxsim import TokenMatrix, quantize
from core.types import EntryKind, FloatArray, IndexEntry, Locale, Scope

FOLDS = 5
CANDIDATES = 20
MAX_QUESTIONS = 1500
SMALL_BASES = 120
_SCOPE = Scope(kb_ids=(1,))


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFAQs:
    """FAQs as id → phrasings, and questions with the id that is right, or None where none is."""

    name: str
    locale: Locale
    faqs: Mapping[str, Sequence[str]]
    questions: Sequence[tuple[str, str | None]]

    def texts(self) -> list[str]:
        """Every text in it, once."""
        return list(dict.fromkeys([text for phrasings in self.faqs.values() for text in phrasings] + [text for text, _ in self.questions]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncodedText:
    """A text's vector float32[dim], its token vectors float32[tokens, dim], and these as they are stored."""

    vector: FloatArray
    tokens: FloatArray
    stored: TokenMatrix


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Example:
    """One question in one base: features float32[candidates, features], each candidate's FAQ and whether it is right."""

    features: FloatArray
    owners: NDArray[np.int64]
    right: NDArray[np.bool_]
    answerable: bool
    fold: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The examples of one set in one shape of its knowledge base."""

    data: LabelledFAQs
    name: str
    examples: Sequence[Example]


def encode(vector: FloatArray, tokens: FloatArray, projection: TokenProjection) -> EncodedText:
    """The text as features take it, its stored tokens rounded as in the database."""
    return EncodedText(vector=vector, tokens=tokens, stored=quantize(projection.project(tokens)))


def make_shapes(
    data: LabelledFAQs, encoded: Mapping[str, EncodedText], projection: TokenProjection, typical_density: float
) -> Iterator[Shape]:
    """The eight shapes of one set, always the same ones."""
    for name, bases in _SHAPES.items():
        chance = random.Random(f"{data.name} {name}")
        examples = [example for base in bases(data, chance) for example in _examples(base, encoded, projection, typical_density)]
        yield Shape(data=data, name=name, examples=examples)


def density_of(data: LabelledFAQs, encoded: Mapping[str, EncodedText]) -> float:
    """The density of the whole set, unsettled."""
    owners = [place for place, phrasings in enumerate(data.faqs.values()) for _ in phrasings]
    vectors = np.stack([encoded[text].vector for phrasings in data.faqs.values() for text in phrasings])
    return mean_nearest_cosine(vectors, owners) or 0.0


def fold_of(key: str) -> int:
    """Which fold an FAQ's questions belong to; all of one FAQ in one."""
    return zlib.crc32(key.encode()) % FOLDS


def _whole(data: LabelledFAQs, chance: random.Random) -> list[LabelledFAQs]:
    return [_sampled(data, chance)]


def _one_phrasing(data: LabelledFAQs, chance: random.Random) -> list[LabelledFAQs]:
    kept = {id: [chance.choice(list(phrasings))] for id, phrasings in data.faqs.items()}
    return [_sampled(_storing(data, kept), chance)]


def _half(data: LabelledFAQs, chance: random.Random) -> list[LabelledFAQs]:
    ids = chance.sample(sorted(data.faqs), len(data.faqs) // 2)
    return [_sampled(_with(data, {id: data.faqs[id] for id in ids}, data.questions), chance)]


def _half_one_phrasing(data: LabelledFAQs, chance: random.Random) -> list[LabelledFAQs]:
    ids = set(chance.sample(sorted(data.faqs), len(data.faqs) // 2))
    one = _storing(data, {id: [chance.choice(list(phrasings))] for id, phrasings in data.faqs.items()})
    return [_sampled(_with(one, {id: one.faqs[id] for id in one.faqs if id in ids}, one.questions), chance)]


def _small(size: int) -> Callable[[LabelledFAQs, random.Random], list[LabelledFAQs]]:
    def bases(data: LabelledFAQs, chance: random.Random) -> list[LabelledFAQs]:
        return [_small_base(data, size, chance) for _ in range(max(6, SMALL_BASES // size))]

    return bases


_SHAPES: dict[str, Callable[[LabelledFAQs, random.Random], list[LabelledFAQs]]] = {
    "all": _whole,
    "one phrasing": _one_phrasing,
    "another phrasing": _one_phrasing,
    "half": _half,
    "half, one phrasing": _half_one_phrasing,
    "2 FAQs": _small(2),
    "5 FAQs": _small(5),
    "20 FAQs": _small(20),
}


def _small_base(data: LabelledFAQs, size: int, chance: random.Random) -> LabelledFAQs:
    ids, count = chance.sample(sorted(data.faqs), size), chance.choice((1, 1, 2, 4))
    kept = {id: chance.sample(list(data.faqs[id]), min(count, len(data.faqs[id]))) for id in ids}
    stored = {text for phrasings in kept.values() for text in phrasings}
    right = [question for question in data.questions if question[1] in kept]
    right += [(text, id) for id in ids for text in data.faqs[id] if text not in stored]
    none = [question for question in data.questions if question[1] not in kept]
    questions = chance.sample(right, min(len(right), 10 * size)) + chance.sample(none, min(len(none), 6 * size))
    return _with(data, kept, questions)


def _storing(data: LabelledFAQs, kept: Mapping[str, Sequence[str]]) -> LabelledFAQs:
    """The phrasings that are not stored become questions."""
    others = [(text, id) for id, phrasings in data.faqs.items() for text in phrasings if text not in kept[id]]
    return _with(data, kept, [*others, *data.questions])


def _with(data: LabelledFAQs, faqs: Mapping[str, Sequence[str]], questions: Sequence[tuple[str, str | None]]) -> LabelledFAQs:
    return LabelledFAQs(name=data.name, locale=data.locale, faqs=faqs, questions=questions)


def _sampled(data: LabelledFAQs, chance: random.Random) -> LabelledFAQs:
    return _with(data, data.faqs, chance.sample(list(data.questions), min(len(data.questions), MAX_QUESTIONS)))


def _examples(
    base: LabelledFAQs, encoded: Mapping[str, EncodedText], projection: TokenProjection, typical_density: float
) -> Iterator[Example]:
    ids = list(base.faqs)
    owners = [place for place, id in enumerate(ids) for _ in base.faqs[id]]
    texts = [text for id in ids for text in base.faqs[id]]
    vectors = np.stack([encoded[text].vector for text in texts])
    density = settled_density(mean_nearest_cosine(vectors, owners), len(ids), typical_density)
    with tempfile.TemporaryDirectory() as folder:
        index = _indexed(texts, Path(folder))
        for text, right in base.questions:
            cosines = vectors @ encoded[text].vector
            words = {hit.id: hit.score for hit in index.search_normalized(text, CANDIDATES, _SCOPE)}
            places = sorted({*np.argsort(-cosines)[:CANDIDATES].tolist(), *words})
            candidates = [
                Candidate(
                    faq_id=owners[place],
                    phrasing_id=place,
                    text=texts[place],
                    cosine=float(cosines[place]),
                    bm25=words.get(place, 0.0),
                    vector=vectors[place],
                    tokens=encoded[texts[place]].stored,
                )
                for place in places
            ]
            found = np.array([owners[place] for place in places])
            yield Example(
                features=pair_features(Asked(text=text, tokens=encoded[text].tokens, density=density), candidates, projection),
                owners=found,
                right=np.array([ids[owner] == right for owner in found]),
                answerable=right in base.faqs,
                fold=fold_of(right or text),
            )


def _indexed(texts: Sequence[str], folder: Path) -> EmbeddedLexicalIndex:
    index = EmbeddedLexicalIndex(EntryKind.FAQ, folder=folder)
    with index.exclusive(1):
        index.put(1, [IndexEntry(id=place, text=text) for place, text in enumerate(texts)])
        index.refresh(1, 1)
    return index
