"""The seams: what a model, an index, a skill and a turn log must do. Implementations are named in settings by dotted path.

One contract test suite per Protocol (tests/contract) runs over every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import Protocol, runtime_checkable

from core.events import AnswerEvent
from core.types import (
    NO_FILTERS,
    EncodedQuery,
    Facts,
    Filters,
    FinishReason,
    FloatArray,
    Hit,
    IndexEntry,
    IndexState,
    JSONDict,
    Match,
    Priority,
    Query,
    Role,
    Scope,
    VectorSearch,
)


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors. Calls from many threads share forward passes."""

    @property
    def model_id(self) -> str:
        """Names weights and prefixes (bf16 and fp32 vectors are interchangeable); indexes built under another id are refused."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """float32[n, dim] with unit rows, in the order of `texts`."""
        ...

    def encode_query(self, text: str) -> EncodedQuery:
        """One question with its token vectors and the time it took, from a cache where it was asked before."""
        ...

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[tuple[FloatArray, FloatArray]]:
        """For each text its vector float32[dim] and its token vectors float32[tokens, dim], both of unit length."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Scores passages against a question with more care than an index can."""

    def score(self, query: str, passages: Sequence[str]) -> FloatArray:
        """float32[n], larger is better."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """What a generator is asked: chat messages as (role, text) pairs and its limits.

    Temperature 0 is greedy. The same `seed` with the same request gives the same text, as far as the implementation can;
    without one each request has its own. `stop` strings end the text and are left out of it. `deadline_s` counts from the
    call of `stream`, waiting included.
    """

    messages: tuple[tuple[str, str], ...]
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    deadline_s: float = 60.0
    priority: Priority = Priority.LIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of one generation; those of the prompt include what the chat template adds."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of generated text, never half a character. The last one has the finish reason and, where it is known, the usage."""

    text: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@runtime_checkable
class Generator(Protocol):
    """Writes text. Calls from many threads share forward passes."""

    @property
    def model_id(self) -> str:
        """Names the model, without loading it."""
        ...

    def stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        """Chunks as they are made; setting `cancel`, or closing the iterator, ends it and frees its slot within a step.

        What was written until a cancel or the deadline stays; the last chunk says which it was. Raises InvalidRequest for a
        prompt beyond the model's context, Overloaded where too many wait, ModelUnavailable where there is no model,
        DeadlineExceeded where the deadline passes before the model begins, InferenceFailed where it breaks on this request.
        """
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A tagged piece of a text: character offsets (end exclusive), type, score 0..1."""

    start: int
    end: int
    type: str
    score: float


@runtime_checkable
class Tagger(Protocol):
    """Finds typed spans in texts."""

    def tag(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order of their start."""
        ...


class IndexWriter(Protocol):
    """What an index and one that is built aside share: changes are noted, then `refresh` ends them.

    What is put and deleted is `as_of` the knowledge base's revision that was read before the entries were: an index that
    several processes write to keeps what is as of a later one, however late a process comes that was stopped meanwhile.
    """

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        """Removes entries; unknown ids are fine; takes effect with `refresh`."""
        ...

    def refresh(self, kb_id: int, revision: int) -> None:
        """Makes everything put or deleted so far visible, and notes that the database is followed up to `revision`."""
        ...


class LexicalWriter(IndexWriter, Protocol):
    """Takes texts."""

    def put(self, kb_id: int, entries: Sequence[IndexEntry], *, as_of: int = 0) -> None:
        """Adds or replaces entries by id; takes effect with `refresh`."""
        ...


class VectorWriter(IndexWriter, Protocol):
    """Takes vectors."""

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = (), *, as_of: int = 0) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each (none where left out); takes effect with `refresh`."""
        ...


class IndexBuild(IndexWriter, Protocol):
    """A new index that is filled aside, while the one whose place it takes goes on answering.

    Nobody sees it before `switch`; one that was not switched to is gone when its `building` ends. What a process leaves that
    dies, `sweep` removes.
    """

    @property
    def revision(self) -> int:
        """How far it follows the database; 0 at first, unless it begins with an index that was kept."""
        ...

    def settle(self) -> None:
        """Does beforehand what takes long and need not wait for the switch: merges, a graph."""
        ...

    def switch(self) -> None:
        """Takes the old index's place at once, for every process. The index's `exclusive` is held, and the build has come at least as far."""
        ...


class LexicalBuild(IndexBuild, LexicalWriter, Protocol):
    """A new lexical index."""


class VectorBuild(IndexBuild, VectorWriter, Protocol):
    """A new vector index."""


class FollowingIndex(IndexWriter, Protocol):
    """What every index shares: it follows the entries of one kind in the database, each knowledge base apart.

    The follower holds `exclusive`, asks `state` how far the index has come, puts and deletes what changed since, and
    ends with `refresh(revision)`. Everything between is invisible and, after a crash, done again. An index that answers is
    not emptied to be filled anew: another one is built aside and switched to.
    """

    def exclusive(self, kb_id: int) -> AbstractContextManager[None]:
        """Held by whoever changes the index: excludes other threads and, where the index lies on disk, other processes."""
        ...

    def state(self, kb_id: int) -> IndexState:
        """How far the index follows and what it was built with; revision 0 where there is none yet."""
        ...

    def clear(self, kb_id: int, built_with: str) -> None:
        """Starts the index anew, empty, at revision 0, under what it will be built with."""
        ...

    def sweep(self, kb_id: int, still_there: Callable[[str], bool] = lambda _: False) -> None:
        """Removes what builds have left whose process died; one that is under way stays.

        What is kept for a rollback goes too unless what it was built with is `still_there`.
        """
        ...

    def ids(self, kb_id: int) -> set[int]:
        """Every visible entry's id, for drift counts."""
        ...


@runtime_checkable
class LexicalIndex(FollowingIndex, LexicalWriter, Protocol):
    """Finds entries by their words: BM25 with the statistics of the searched knowledge base alone."""

    def search(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits within the scope that the filters admit, best first; score is BM25."""
        ...

    def search_normalized(self, text: str, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Like `search`, with scores from 0 to 1: BM25 over what the text itself would score as an entry."""
        ...

    def term_scores(self, text: str, kb_id: int, ids: Sequence[int]) -> dict[int, dict[str, float]]:
        """What each term of the text adds to the BM25 of each of these entries, as `search` scores them; entries without any are left out."""
        ...

    def frequencies(self, terms: Sequence[str], scope: Scope) -> dict[str, int]:
        """How many entries within the scope have each of these terms; terms that none has may be left out."""
        ...

    def building(self, kb_id: int, built_with: str) -> AbstractContextManager[LexicalBuild]:
        """An empty index to be filled aside, one at a time among all processes; taken before `exclusive`, never within it."""
        ...


@runtime_checkable
class VectorIndex(FollowingIndex, VectorWriter, Protocol):
    """Finds entries by their vectors: inner product of unit vectors."""

    @property
    def is_shared(self) -> bool:
        """Whether all processes search the same index, which holds what one encoder made; else each fills one of its own for every encoder."""
        ...

    def made_by(self, encoder: str) -> VectorIndex:
        """Where vectors of this encoder are searched and put; this very index where it `is_shared`."""
        ...

    def forget(self, kb_id: int) -> None:
        """Gives the memory for a knowledge base back, where the index lies in this process's; what is asked next is read again."""
        ...

    def search(self, vector: FloatArray, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits within the scope that the filters admit, best first; score is the cosine."""
        ...

    def vectors(self, kb_id: int, ids: Sequence[int]) -> dict[int, FloatArray]:
        """The stored vectors of these entries, as far as there are any."""
        ...

    def building(self, kb_id: int, built_with: str, *, no_later_than: int = 0) -> AbstractContextManager[VectorBuild]:
        """An index to be filled aside, one at a time among those who share it; taken before `exclusive`, never within it.

        It begins empty, at revision 0, or with what was kept of the generation before: where that was built with the same and
        follows the database `no_later_than` the revision. The caller goes on from the build's `revision`.
        """
        ...


@runtime_checkable
class VectorSearcher(Protocol):
    """Searches the vector indexes of all kinds of entries, wherever they are kept."""

    def search(self, vectors: FloatArray, encoder: str, search: VectorSearch) -> list[list[Hit]]:
        """For each row of float32[n, dim], made by the model `encoder`, up to `k` hits, best first; score is the cosine.

        The index has followed the knowledge bases up to the revisions of the search. Raises IndexMismatch where another
        encoder built it, SearchUnavailable where it cannot be asked, or does not come that far in time.
        """
        ...


@runtime_checkable
class NearestSearch(VectorSearcher, Protocol):
    """Encodes questions and finds what lies nearest to them: where both are done elsewhere, one way there and back does both."""

    def encode(self, text: str, searches: Sequence[VectorSearch]) -> EncodedQuery:
        """One question with its token vectors; `near` has those of the searches that were done on the way.

        What is not there, `search` finds. Raises as an encoder: ModelUnavailable, Overloaded, DeadlineExceeded.
        """
        ...


@runtime_checkable
class Skill(Protocol):
    """One way to answer."""

    name: str

    def match(self, query: Query) -> Match | None:
        """A calibrated claim, or None where there is nothing at all to go by. Cheap; no generation."""
        ...

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The sources, then the text in deltas, and where there is something to say of it an AnswerReport. Ends early once `cancel` is set."""
        ...


@runtime_checkable
class TurnLog(Protocol):
    """Every event of a turn with its sequence number, readable from any web process while and after the turn runs."""

    def append(self, turn: str, frame: JSONDict) -> int:
        """Stores the event's wire frame under the turn's next number (from 1) and returns that number; sets `frame["seq"]`.

        A log that cannot be reached must not end the turn: it is written once it is back.
        """
        ...

    def read(self, turn: str, after: int, timeout_s: float = 30.0) -> Iterator[JSONDict]:
        """Frames with `seq` > `after`, waiting for new ones, until the turn's end.

        Raises NotFound for an unknown turn, Interrupted where the process that runs it is gone, DeadlineExceeded when nothing
        new comes for `timeout_s`.
        """
        ...

    def cancel(self, turn: str) -> None:
        """Asks the process that runs the turn to stop it. Raises NotFound for an unknown turn."""
        ...

    def watch_cancel(self, turn: str) -> Event:
        """The flag that `cancel` sets, for the process that runs the turn; call before the first `append`."""
        ...
