"""The values that cross module borders: questions, hits, matches, sources, scopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
JSONValue: TypeAlias = "str | int | float | bool | None | list[JSONValue] | dict[str, JSONValue]"
JSONDict: TypeAlias = "dict[str, JSONValue]"


class Role(StrEnum):
    """What a text is to the encoder; many encoders are trained with a different prefix for each."""

    QUERY = "query"
    PASSAGE = "passage"


class Locale(StrEnum):
    """Languages that content and answers come in."""

    ZH = "zh"
    EN = "en"


class Priority(IntEnum):
    """Who waits for a model: a person (LIVE), or an import (BULK), which goes when no person waits and now and then all the same."""

    LIVE = 0
    BULK = 1


class FinishReason(StrEnum):
    """Why a generated text ends: the model or a stop string ended it, its limit of tokens, its caller, or its deadline."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class EntryKind(StrEnum):
    """What an index entry stands for; each kind of a knowledge base has an index of its own."""

    FAQ = "faq"
    PASSAGE = "passage"
    QUESTION = "question"  # a question that a passage answers


class SearchMode(StrEnum):
    """Which indexes a search asks."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    VECTOR = "vector"


class SkillName(StrEnum):
    """The ways to answer that ship with Wenlu; a project may add its own names."""

    FAQ = "faq"
    TEMPLATE = "template"
    GRAPH = "graph"
    PASSAGE = "passage"
    SMALLTALK = "smalltalk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What the caller may see: the knowledge bases by primary key. Required by every search; empty finds nothing.

    `revisions` are those that the caller read, in the order of `kb_ids`: an index catches up with them before it is
    searched. Without them an index is searched as it is. `groups` are those that the caller belongs to: a document with an
    access list is found by its groups only; None is for who may read all of it.
    """

    kb_ids: tuple[int, ...]
    revisions: tuple[int, ...] = ()
    groups: tuple[str, ...] | None = ()

    def allows(self, kb_id: int) -> bool:
        """Whether content of this knowledge base may be shown."""
        return kb_id in self.kb_ids


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry that an index found. `score` grows with relevance; its unit is the index's own."""

    id: int
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a search can filter an entry by: exact terms such as `tag=travel` or `lang=zh`, and its day (`date.toordinal`)."""

    terms: tuple[str, ...] = ()
    day: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What an entry must be to be found: it has a term of every group in `any_of`, and its day lies within the bounds, both inclusive.

    An entry without a day lies outside any bound. Indexes apply filters while they search: a narrow filter loses no recall.
    """

    any_of: tuple[frozenset[str], ...] = ()
    since_day: int | None = None
    until_day: int | None = None

    def __bool__(self) -> bool:
        return bool(self.any_of) or self.since_day is not None or self.until_day is not None

    def admits(self, facts: Facts) -> bool:
        """Whether an entry with these facts may be found."""
        if any(group.isdisjoint(facts.terms) for group in self.any_of):
            return False
        if self.since_day is None and self.until_day is None:
            return True
        return facts.day is not None and (self.since_day or 0) <= facts.day and (self.until_day is None or facts.day <= self.until_day)


NO_FACTS, NO_FILTERS = Facts(), Filters()


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """A text as an index holds it: `id` of the entry (an FAQ phrasing, a passage), its text, and what it is filtered by."""

    id: int
    text: str
    facts: Facts = NO_FACTS


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """How far an index follows its knowledge base, and what it was built with (analysis, or encoder and generation)."""

    revision: int
    built_with: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorSearch:
    """What to look for by vectors: up to `k` entries of a kind, in these knowledge bases, that the filters admit.

    `revisions`, in the order of `kb_ids`, are those that an index must have followed before it is searched, as in `Scope`.
    """

    kind: EntryKind
    k: int
    kb_ids: tuple[int, ...]
    revisions: tuple[int, ...] = ()
    filters: Filters = NO_FILTERS


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedQuery:
    """A question as the encoder sees it, computed once a turn.

    `vector` is float32[dim] of unit length; `token_vectors` is float32[tokens, dim] of unit rows for late interaction,
    or None where the encoder gives none. `encoder` is the id of the model that made both. `near` are searches that were
    done where the question was encoded, with their hits, best first.
    """

    encoder: str
    vector: FloatArray
    token_vectors: FloatArray | None
    encode_ms: float
    near: Mapping[VectorSearch, tuple[Hit, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """How a bot wants its answers out of documents written: asked of a skill that can have a generator write them.

    `template` is the prompt in the language of the question; empty takes the one that ships. A sentence that no source
    supports is left out, or shown with a mark where `flags_unsupported`. Where no sentence is left, `abstains` says whether
    the bot says that it does not know, or the extracted sentences go out.
    """

    bot: str
    template: str = ""
    flags_unsupported: bool = False
    abstains: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question, understood: what every skill is asked with. `text` is what the person wrote, made safe to process.

    `writing` is there where the bot wants answers written by a generator.
    """

    text: str
    normalized: str
    locale: Locale
    scope: Scope
    turn: str
    encoded: EncodedQuery | None = None
    history: tuple[str, ...] = ()
    writing: Writing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where an answer comes from, as the reader sees it.

    `text` of a passage is the document's text from `start` to `end`, on the page `page` where the document has pages; `marks` are the
    spans in it (end exclusive) that the answer says word for word.
    """

    kind: str
    id: str
    title: str
    text: str
    score: float
    document: str | None = None
    url: str | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None
    marks: tuple[tuple[int, int], ...] = ()

    def as_dict(self) -> JSONDict:
        """The `sources[]` object of the contract: `url` is null where there is none, other absent parts are left out."""
        row: JSONDict = {name: getattr(self, name) for name in ("kind", "id", "title", "text", "url")}
        row["score"] = round(self.score, 4)
        parts: JSONDict = {name: getattr(self, name) for name in ("document", "start", "end", "page")}
        row |= {name: value for name, value in parts.items() if value is not None}
        return {**row, "marks": [list(mark) for mark in self.marks]} if self.marks else row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Source:
        """The source whose `as_dict` this is."""
        return cls(**{**row, "marks": tuple((start, end) for start, end in row.get("marks", ()))})


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A skill's calibrated claim that it can answer: `confidence` is the fitted probability (0..1) of being right.

    `payload` is the skill's own note to its `answer`; `suggestions` the nearest questions, first the one that it would
    answer; `why` what the explain page shows; `degraded` says that part of the machinery was not there.
    """

    skill: str
    confidence: float
    accepted: bool
    payload: object
    suggestions: tuple[str, ...] = ()
    degraded: bool = False
    why: Mapping[str, JSONValue] = field(default_factory=dict)
