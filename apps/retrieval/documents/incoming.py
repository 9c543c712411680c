"""What comes in to be a document? A source that can be read, one that cannot, or one that is no longer there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from apps.retrieval.documents.readings import Reading
from apps.retrieval.parsing.recognition import PagesDone


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One document to come in. `place` is what a person calls it (`row 12 of news.jsonl`), `size` its share of the work, in bytes.

    `sha256` covers whatever its document is made from. `read` raises QAError where it cannot. `read_in_steps` does the same for a source
    that may take minutes, and yields now and then how far it is.
    """

    place: str
    id: str
    sha256: str
    read: Callable[[], Reading]
    size: int = 0
    read_in_steps: Callable[[], Generator[PagesDone, None, Reading]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSource:
    """What could not become a source, and why."""

    place: str
    problem: str
    size: int = 0
    code: str = "unusable"


@dataclass(frozen=True, kw_only=True, slots=True)
class GoneSource:
    """A source that is no longer there (its server says 404 or 410)."""

    place: str
    id: str
    problem: str
    size: int = 0


AnySource: TypeAlias = Source | BadSource | GoneSource
