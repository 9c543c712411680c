"""Which new documents say only what another one says already? They are left out or reported, as the knowledge base's policy says.

A copy is left out where it adds nothing: no other title, place, reader or status, and no newer date. So it hardly matters which of
two copies comes first: the one that more people can read, that is published, or that is newer comes in either way.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.drafts import Draft
from apps.retrieval.documents.fingerprints import BANDS, LONG_CHARS, Fingerprint
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.likeness import LIKE_ENOUGH, length_in_letters, likeness, plain_form, says_no_more, words_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.screening import PlacedDraft
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase

MIN_LETTERS = 200  # of a text that says by itself what it is about: a shorter one means what its title makes of it
MAX_CANDIDATES, MAX_COMPARED = 10_000, 8
_KEEP, _DROP = IngestPolicy.Duplicates.KEEP, IngestPolicy.Duplicates.DROP
_PUBLISHED, _ARCHIVED = Document.Status.PUBLISHED, Document.Status.ARCHIVED
_COPY_MARK = re.compile(r"^copy of |^副本\s*[-_]?\s*|\s*[-_]?\s*(?:[(（]\d{1,2}[)）]|\bcopy|的?副本)(?:\s*[(（]?\d{1,2}[)）]?)?$", re.I)


def without_copies(
    kb: KnowledgeBase, placed: Sequence[PlacedDraft], policy: IngestPolicy, report: IngestReport, caller: Caller
) -> list[PlacedDraft]:
    """The drafts without new ones that say what another document says, exactly or nearly, as far as the policy keeps such out.

    Documents that are there already are never dropped, since a change of theirs would be lost. What is archived is no reason to
    leave anything out. A few queries in all.
    """
    if policy.duplicates == _KEEP and policy.near_duplicates == _KEEP:
        return list(placed)
    ids = [one.draft.row.id for one in placed]
    stored = set(Document.objects.filter(kb=kb, external_id__in=ids).order_by().values_list("external_id", flat=True))
    known, may_publish = _Known(kb, placed, policy), caller.may(Permission.PUBLISH, kb.pk)
    kept: list[PlacedDraft] = []
    for one in placed:
        draft = one.draft
        own = _Copied.of(draft.row, is_public=draft.row.status == _PUBLISHED or (may_publish and not draft.row.status))
        finding = known.same(draft, own) or known.nearly_same(draft, own)
        if finding and finding.leave_out and own.id not in stored:
            report.drop(one.place, finding.code, finding.reason)
            continue
        if finding:
            report.note(one.place, finding.code, finding.reason)
        known.add(draft, own)
        kept.append(one)
    return kept


@dataclass(frozen=True, slots=True)
class _Finding:
    """That a draft repeats another document: a code, a sentence, and whether it is left out."""

    code: str
    reason: str
    leave_out: bool


@dataclass(frozen=True, slots=True)
class _Copied:
    """What tells whether a document with the same text adds anything."""

    id: str
    title: str
    category: str
    tags: Collection[str]
    access: Collection[str]
    date: date | None
    is_public: bool

    @classmethod
    def of(cls, row: DocumentRow, *, is_public: bool) -> _Copied:
        return cls(str(row.id), row.title, row.category, row.tags, row.access, row.date, is_public)

    @classmethod
    def read(cls, documents: Iterable[tuple[Any, ...]]) -> Iterator[_Copied]:
        """Of rows of `_FACTS`."""
        for id, title, category, tags, access, day, status, *_ in documents:
            yield cls(id, title, category, tags, access, day, status == _PUBLISHED)

    @property
    def subject(self) -> str:
        """The title without what programs add to the names of copies."""
        return plain_form(_COPY_MARK.sub("", self.title)) if self.title else ""

    def lacks(self, own: _Copied) -> str:
        """What a copy adds to this document, as what this one is or has not; "" where that is nothing."""
        if own.is_public and not self.is_public:
            return "is not published"
        if own.date and self.date and own.date > self.date:
            return "is older"
        if self.access and not (own.access and set(own.access) <= set(self.access)):
            return "fewer people may read"
        if own.category not in ("", self.category) or not set(own.tags) <= set(self.tags):
            return "is filed elsewhere"
        named = own.subject and plain_form(own.title) != plain_form(PurePosixPath(own.id).stem)
        return "has another title" if named and own.subject != self.subject else ""


_FACTS = ("external_id", "title", "category", "tags", "access", "date", "status")


class _Known:
    """Documents that drafts may repeat: those of the database, and the drafts so far."""

    def __init__(self, kb: KnowledgeBase, placed: Sequence[PlacedDraft], policy: IngestPolicy) -> None:
        self._policy = policy
        self._by_digest: dict[str, list[_Copied]] = defaultdict(list)
        self._by_band: dict[tuple[int, int], list[tuple[Fingerprint, _Copied]]] = defaultdict(list)
        self._texts: dict[str, str] = {}
        if policy.near_duplicates != _KEEP:
            own = {one for draft in placed for one in draft.draft.fingerprints}
            for fingerprint, other in _near(kb, own):
                self._remember(fingerprint, other)
            short = [one.draft for one in placed if _is_short(one.draft)]
            wanted = {id for draft in short for id in islice(self._near_to(draft), MAX_COMPARED)}
            self._texts |= Document.objects.filter(kb=kb, external_id__in=wanted).order_by().values_list("external_id", "text")
        if policy.duplicates != _KEEP:
            digests = {digest for one in placed for digest in one.draft.digests}
            rows = _documents(kb).filter(text_sha256__in=digests).values_list(*_FACTS, "text_sha256")[:MAX_CANDIDATES]
            for other, row in zip(_Copied.read(rows), rows, strict=True):
                self._by_digest[row[-1]].append(other)

    def same(self, draft: Draft, own: _Copied) -> _Finding | None:
        """That another document has the same text; of a short one, under the same title."""
        if self._policy.duplicates == _KEEP:
            return None
        others = [other for digest in draft.digests for other in self._by_digest.get(digest, ()) if other.id != own.id]
        if others and length_in_letters(draft.chunked.text) < MIN_LETTERS:
            others = [other for other in others if other.subject == own.subject]
        return self._finding("duplicate", "the same as", own, others, self._policy.duplicates == _DROP)

    def nearly_same(self, draft: Draft, own: _Copied) -> _Finding | None:
        """That the text of another document differs little; of short ones, that it has nearly all their pairs of words.

        A short text is left out only where the other one says all of it.
        """
        others = list(self._near_to(draft).values()) if self._policy.near_duplicates != _KEEP else []
        words = list[str]()
        if others and _is_short(draft):
            words = words_of(draft.chunked.text)
            others = [one for one in others[:MAX_COMPARED] if likeness(words, self._words_of(one.id)) >= LIKE_ENOUGH]
        saying_all = [one for one in others if not words or says_no_more(words, self._words_of(one.id))]
        may_drop = bool(saying_all) and self._policy.near_duplicates == _DROP
        return self._finding("near_duplicate", "nearly the same as", own, saying_all if may_drop else others, may_drop)

    def add(self, draft: Draft, own: _Copied) -> None:
        """Remembers a draft that stays."""
        for digest in draft.digests[:1]:
            self._by_digest[digest].append(own)
        for fingerprint in draft.fingerprints[:1]:
            self._remember(fingerprint, own)
        if _is_short(draft):
            self._texts[own.id] = draft.chunked.text

    @staticmethod
    def _finding(code: str, how: str, own: _Copied, others: Sequence[_Copied], may_drop: bool) -> _Finding | None:
        if not others:
            return None
        other, lacks = min(((other, other.lacks(own)) for other in others), key=lambda pair: bool(pair[1]))
        reason = f"Its text is {how} that of {other.id!r}{f', which {lacks}' if lacks else ''}."
        return _Finding(code, reason, leave_out=may_drop and not lacks)

    def _near_to(self, draft: Draft) -> dict[str, _Copied]:
        """By id, those known whose fingerprint is near one of the draft's; those that are added later leave the order of the others as it is."""
        return {
            other.id: other
            for fingerprint in draft.fingerprints
            for key in enumerate(fingerprint.bands)
            for near, other in self._by_band.get(key, ())
            if other.id != str(draft.row.id) and fingerprint.is_near(near)
        }

    def _remember(self, fingerprint: Fingerprint, other: _Copied) -> None:
        for key in enumerate(fingerprint.bands):
            self._by_band[key].append((fingerprint, other))

    def _words_of(self, id: str) -> list[str]:
        return words_of(self._texts.get(id, ""))


def _is_short(draft: Draft) -> bool:
    """Whether others are compared with it word by word."""
    return len(draft.chunked.text) < LONG_CHARS or any(fingerprint.of_short for fingerprint in draft.fingerprints)


def _documents(kb: KnowledgeBase) -> Any:
    """In no order: in the model's own, SQLite would read all of them."""
    return Document.objects.filter(kb=kb).exclude(status=_ARCHIVED).order_by()


def _near(kb: KnowledgeBase, prints: Iterable[Fingerprint]) -> Iterator[tuple[Fingerprint, _Copied]]:
    """The stored documents near one of these fingerprints, with theirs.

    One query over one index a band, which holds the fingerprints too: rows are read for those alone that are near.
    """
    documents, own = Document.objects.filter(kb=kb).order_by(), list(prints)
    for number in range(BANDS) if own else ():
        by_band: dict[int, list[Fingerprint]] = defaultdict(list)
        for fingerprint in own:
            by_band[fingerprint.bands[number]].append(fingerprint)
        band = f"band_{number}"
        sharing = documents.filter(**{f"{band}__in": set(by_band)}).values_list(band, "simhash")[:MAX_CANDIDATES]
        others = {(value, Fingerprint.stored(other, value)) for value, other in sharing}
        near = {(value, other) for value, other in others if any(other.is_near(fingerprint) for fingerprint in by_band[value])}
        if near:
            wanted = {f"{band}__in": {value for value, _ in near}, "simhash__in": {other.value for _, other in near}}
            rows = _documents(kb).filter(**wanted).values_list(*_FACTS, "simhash", band)[:MAX_CANDIDATES]
            for other, row in zip(_Copied.read(rows), rows, strict=True):
                yield Fingerprint.stored(*row[-2:]), other
