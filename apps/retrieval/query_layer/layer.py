"""How else can a question be asked, so that its words find what was meant? And what do the words of a knowledge base add to its index?

Characters, width and case are folded by the index's own analysis, for questions and entries alike. This layer adds what a
knowledge base knows: its words, its synonyms, other forms of numbers and dates, and typing errors. A question is always
asked as it is too, with full weight; what is added weighs less, so that nothing found by it can drop out of sight.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import islice

from apps.retrieval.indexes.analysis import analyze, fold
from apps.retrieval.models import QueryLayer
from apps.retrieval.query_layer.codes import code_form
from apps.retrieval.query_layer.matching import WordMatcher
from apps.retrieval.query_layer.numbers import number_forms
from apps.retrieval.query_layer.rules import SynonymRule, parse_synonyms, parse_words
from apps.retrieval.query_layer.typos import corrected
from core.config import get_settings
from core.protocols import LexicalIndex
from core.remembered import Remembered
from core.types import NO_FILTERS, Filters, Hit, Scope

NUMBER_WEIGHT, TYPO_WEIGHT, SYNONYM_WEIGHT = 0.97, 0.9, 0.85
MAX_VARIANTS = 8
MAX_READINGS = 2  # of a question, each of which is encoded and searched
MAX_QUESTION_CHARS = 200
MAX_REMEMBERED, REMEMBERED_S = 2_000, 60.0  # questions, of about 1 KB with their variants


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Another way to ask, `said`, as the words' index takes it, `text`, and what its hits weigh.

    `unheard` says that it stands for words that no entry has: what was typed tells a vector nothing.
    """

    text: str
    weight: float
    said: str = ""
    unheard: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layer:
    """The query layer of a knowledge base, ready to use. Each one is a key of its own for what is remembered of it."""

    words: WordMatcher
    synonyms: WordMatcher
    others: Mapping[str, tuple[str, ...]]
    corrects_typos: bool
    reads_numbers: bool

    def marks(self, text: str) -> str:
        """A term for each word of the base that the text holds: entries and questions that share a word share its term."""
        if not self.words:
            return ""
        return " ".join(dict.fromkeys(_mark(word) for _, word in self.words.find(fold(text))))


def search_words(
    lexical: LexicalIndex, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS, *, normalized: bool = True
) -> list[Hit]:
    """The `k` best of what the question finds as it is and, weighing less, asked in other ways; each with the best of its scores, best first.

    The `k` that it finds as it is are all among them, so that no other way to ask takes anything away: then there are more than `k`. Scores are those of `search_normalized`, or of `search` where they are not to be `normalized`.
    """
    search = lexical.search_normalized if normalized else lexical.search
    found: dict[int, float] = {}
    as_asked: list[Hit] = []
    for part, layer in _parts(scope):
        first, *others = _remembered_variants(text, layer, lexical, part)
        part = replace(part, revisions=())
        hits = search(first.text, k, part, filters)
        found.update((hit.id, hit.score) for hit in hits)
        as_asked += hits
        scale = 1.0 if normalized or not others else _ceiling(lexical, first.text, hits, k, part, filters)
        for variant in others:
            for hit in lexical.search_normalized(variant.text, k, part, filters):
                found[hit.id] = max(found.get(hit.id, 0.0), hit.score * variant.weight * scale)
    ranked = _ranked(Hit(id, score) for id, score in found.items())
    if len(ranked) <= k:
        return ranked
    own = {hit.id for hit in _ranked(as_asked)[:k]}
    return ranked[:k] + [hit for hit in ranked[k:] if hit.id in own]


def _ranked(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _ceiling(lexical: LexicalIndex, text: str, hits: Sequence[Hit], k: int, scope: Scope, filters: Filters) -> float:
    """What the text itself would score as an entry: the scale on which other ways to ask compare with it, however many terms they have.

    Told from hits whose normalised score is below 1, which is where that is cut off; 1 where there is none.
    """
    normalized = {hit.id: hit.score for hit in lexical.search_normalized(text, k, scope, filters)}
    return max((hit.score / normalized[hit.id] for hit in hits if 0 < normalized.get(hit.id, 0.0) < 1), default=1.0)


def asked_words(lexical: LexicalIndex, text: str, scope: Scope) -> str:
    """All that `search_words` asks for, in one text: for explaining which words found an entry."""
    return " ".join(
        dict.fromkeys(variant.text for part, layer in _parts(scope) for variant in _remembered_variants(text, layer, lexical, part))
    )


def readings(lexical: LexicalIndex, text: str, scope: Scope) -> list[str]:
    """How else to read a question with words that no entry within the scope has: as other ways to ask it whose words are there, best first."""
    found = (variant for part, layer in _parts(scope) for variant in _remembered_variants(text, layer, lexical, part))
    return list(islice(dict.fromkeys(variant.said for variant in found if variant.unheard), MAX_READINGS))


def variants(text: str, layer: Layer, lexical: LexicalIndex, scope: Scope) -> list[Variant]:
    """The question as it is, first, with the terms of the base's words; then the other ways to ask it, at most `MAX_VARIANTS`.

    Where every pair of characters is in the index, and no synonym, number or date is in the question, there is but the one.
    """
    first = [Variant(text=_marked(text, layer), weight=1.0)]
    if len(text) > MAX_QUESTION_CHARS:
        return first
    folded = fold(text)
    others: list[Variant] = []
    if layer.corrects_typos:
        meant = corrected(folded, lambda terms: lexical.frequencies(terms, scope), layer.words.pairs)
        if meant is not None:
            others.append(Variant(text=meant, weight=TYPO_WEIGHT, unheard=True))
            folded = meant
        written = code_form(folded, lambda terms: lexical.frequencies(terms, scope))
        if written is not None:
            others.append(Variant(text=written, weight=NUMBER_WEIGHT, unheard=True))
            folded = written
    if layer.reads_numbers:
        others += [Variant(text=form, weight=NUMBER_WEIGHT) for form in number_forms(folded)]
    by_word = _by_synonyms(folded, layer)
    known = lexical.frequencies(sorted({term for word in by_word for term in analyze(word)}), scope) if by_word else {}
    for word, said in by_word.items():
        unheard = not all(known.get(term) for term in analyze(word))
        others += [Variant(text=text, weight=SYNONYM_WEIGHT, unheard=unheard) for text in said]
    return first + [replace(variant, text=_marked(variant.text, layer), said=variant.text) for variant in others[:MAX_VARIANTS]]


def _remembered_variants(text: str, layer: Layer, lexical: LexicalIndex, scope: Scope) -> Sequence[Variant]:
    """`variants`, worked out once for a question in this revision of the knowledge bases, and anew after a minute."""
    if len(text) > MAX_QUESTION_CHARS or not scope.revisions:
        return variants(text, layer, lexical, scope)
    return _known_variants().get((text, layer, lexical, scope))


@cache
def _known_variants() -> Remembered[tuple[str, Layer, LexicalIndex, Scope], Sequence[Variant]]:
    return Remembered(lambda asked: variants(*asked), keep_s=lambda: REMEMBERED_S, most=MAX_REMEMBERED)


def layer_of(kb_id: int) -> Layer:
    """The layer of a knowledge base as it was at most `remember_s` ago."""
    return _layers().get(kb_id)


def read_layer(kb_id: int) -> Layer:
    """The layer of a knowledge base as the database has it now."""
    version = QueryLayer.objects.filter(kb_id=kb_id).values_list("version", flat=True).first()
    return _build(kb_id, version)


def marked_texts(kb_id: int, texts: Sequence[str]) -> list[str]:
    """The texts of entries as the lexical index takes them: each with the terms of the base's words in it."""
    layer = read_layer(kb_id)
    return [_marked(text, layer) for text in texts]


def forget_layers() -> None:
    """Reads every layer anew: after a change, and between tests."""
    _layers().clear()
    _known_variants().clear()
    _build.cache_clear()


def _parts(scope: Scope) -> Iterable[tuple[Scope, Layer]]:
    """The scope in parts with a layer of their own; knowledge bases without one stay together."""
    parts: dict[Layer, list[int]] = defaultdict(list)
    for kb_id in dict.fromkeys(scope.kb_ids):
        parts[layer_of(kb_id)].append(kb_id)
    revisions = dict(zip(scope.kb_ids, scope.revisions, strict=False))
    for layer, kb_ids in parts.items():
        yield replace(scope, kb_ids=tuple(kb_ids), revisions=tuple(revisions.get(kb_id, 0) for kb_id in kb_ids) if revisions else ()), layer


def _by_synonyms(text: str, layer: Layer) -> dict[str, list[str]]:
    """By each word with synonyms: the text with one of them in its place."""
    said: dict[str, list[str]] = {}
    for place, word in layer.synonyms.find(text) if layer.synonyms else ():
        for other in layer.others[word]:
            # A synonym that the text holds already at this place would only repeat it.
            if other != word and not (word in other and text.find(other) >= 0):
                said.setdefault(word, []).append(f"{text[:place]}{_apart(text[:place], other)}{text[place + len(word) :]}")
    return said


def _apart(before: str, word: str) -> str:
    return f" {word}" if before[-1:].isascii() and before[-1:].isalnum() and word[0].isascii() else word


def _marked(text: str, layer: Layer) -> str:
    marks = layer.marks(text)
    return f"{text} {marks}" if marks else text


def _mark(word: str) -> str:
    """A term that no text holds: letters and figures that stemming leaves as they are."""
    return f"zq{int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())}"


@cache
def _layers() -> Remembered[int, Layer]:
    return Remembered(read_layer, keep_s=lambda: get_settings().remember_s)


def make_layer(
    *, words: Sequence[str] = (), rules: Sequence[SynonymRule] = (), corrects_typos: bool = True, reads_numbers: bool = True
) -> Layer:
    """A layer of these words and rules; without any it is what a knowledge base has before anybody sets it up."""
    others: dict[str, dict[str, None]] = defaultdict(dict)
    for rule in rules:
        for term in rule.terms:
            others[term].update(dict.fromkeys(rule.others))
    return Layer(
        words=WordMatcher(words),
        synonyms=WordMatcher(others),
        others={term: tuple(found) for term, found in others.items()},
        corrects_typos=corrects_typos,
        reads_numbers=reads_numbers,
    )


@lru_cache(maxsize=256)
def _build(kb_id: int, version: int | None) -> Layer:
    """The layer in this version; bases without one share it. Rules were checked when they were saved."""
    stored = None if version is None else QueryLayer.objects.filter(kb_id=kb_id).first()
    if stored is None:
        return _plain()
    return make_layer(
        words=parse_words(stored.words) if stored.uses_words else (),
        rules=parse_synonyms(stored.synonyms) if stored.uses_synonyms else (),
        corrects_typos=stored.uses_typos,
        reads_numbers=stored.uses_numbers,
    )


@cache
def _plain() -> Layer:
    return make_layer()
