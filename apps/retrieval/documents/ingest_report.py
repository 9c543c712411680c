"""What became of the sources of one ingestion? Counts, and for each that was not taken as it was, where it is and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from core.types import JSONDict

MAX_ITEMS = 1000
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")  # what PostgreSQL takes in no text: names of files may hold it


class Outcome(StrEnum):
    """What became of a source that the report names."""

    BAD = "bad"  # it could not be read or saved
    DROPPED = "dropped"  # a rule of the knowledge base keeps it out
    NOTED = "noted"  # it is in, and somebody should know something about it


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One source: where it is, what became of it, a short code of the reason, and a sentence."""

    place: str
    outcome: Outcome
    code: str
    reason: str


@dataclass(slots=True)
class IngestReport:
    """What became of the sources. `items` lists the first `MAX_ITEMS` of each outcome; `codes` counts all of them by code."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad_count: int = 0
    dropped_count: int = 0
    noted_count: int = 0
    items: list[ReportItem] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def from_dicts(
        cls, counts: Mapping[str, int], outcomes: Mapping[str, int], items: Sequence[Mapping[str, str]], codes: Mapping[str, int]
    ) -> IngestReport:
        """The report as it was stored: `counts` of what came in, `outcomes` of what was named, the listed items, and all by code."""
        listed = [ReportItem(item["place"], Outcome(item["outcome"]), item["code"], item["reason"]) for item in items]
        return cls(
            **counts,
            bad_count=outcomes["bad"],
            dropped_count=outcomes["dropped"],
            noted_count=outcomes["noted"],
            items=listed,
            codes=Counter(codes),
        )

    def refuse(self, place: str, reason: str, code: str = "unusable") -> None:
        """Counts a source that could not be used."""
        self.bad_count += 1
        self._list(ReportItem(place, Outcome.BAD, code, reason), self.bad_count)

    def drop(self, place: str, code: str, reason: str) -> None:
        """Counts a source that a rule keeps out."""
        self.dropped_count += 1
        self._list(ReportItem(place, Outcome.DROPPED, code, reason), self.dropped_count)

    def note(self, place: str, code: str, reason: str) -> None:
        """Counts something worth knowing about a source that is in."""
        self.noted_count += 1
        self._list(ReportItem(place, Outcome.NOTED, code, reason), self.noted_count)

    def say_more(self, sentence: str) -> None:
        """Adds to the reason that was listed last."""
        self.items[-1] = replace(self.items[-1], reason=f"{self.items[-1].reason} {sentence}")

    def add(self, other: IngestReport) -> None:
        """Counts and lists what another report does."""
        self.created, self.updated, self.unchanged = (
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )
        for item in other.items:
            match item.outcome:
                case Outcome.BAD:
                    self.refuse(item.place, item.reason, item.code)
                case Outcome.DROPPED:
                    self.drop(item.place, item.code, item.reason)
                case Outcome.NOTED:
                    self.note(item.place, item.code, item.reason)

    def of(self, outcome: Outcome) -> list[ReportItem]:
        """The listed items of one outcome."""
        return [item for item in self.items if item.outcome is outcome]

    def items_as_dicts(self) -> list[JSONDict]:
        """The items as they are stored and given over HTTP."""
        return [asdict(item) for item in self.items]

    def _list(self, item: ReportItem, count: int) -> None:
        self.codes[item.code] += 1
        if count <= MAX_ITEMS:
            self.items.append(replace(item, place=_NO_TEXT.sub("\ufffd", item.place), reason=_NO_TEXT.sub("\ufffd", item.reason)))
