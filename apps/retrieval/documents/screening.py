"""Which readings does a knowledge base keep out, and what does it mend in those that it takes? Its policy says so, the report why."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import ftfy

from apps.retrieval.documents.drafts import Draft, text_digest
from apps.retrieval.documents.fingerprints import BANDS, MAX_BITS, bands_of, bits_apart
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.readings import Reading
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase
from core.quality import find_flaw
from core.word_list import WordList

MIN_CHARS_OF_A_COPY = 200
MAX_CANDIDATES = 10_000
_KEEP, _DROP = IngestPolicy.Duplicates.KEEP, IngestPolicy.Duplicates.DROP


@dataclass(frozen=True, slots=True)
class PlacedDraft:
    """A draft and where its source is."""

    place: str
    draft: Draft


def policy_of(kb: KnowledgeBase) -> IngestPolicy:
    """The policy of the knowledge base; the usual one where nobody set any."""
    return IngestPolicy.objects.filter(kb=kb).first() or IngestPolicy(kb=kb)


def policy_digest(policy: IngestPolicy) -> str:
    """What a source's hash takes in of the policy: after a change that can keep other content out, every source is looked at again."""
    parts = [
        policy.repair_encoding,
        policy.drop_poor,
        policy.drop_site_lines,
        policy.min_chars,
        policy.block_words and policy.blocked_words,
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def mended(reading: Reading, policy: IngestPolicy) -> Reading:
    """The reading with texts put right that were decoded in the wrong encoding once (`â€™` is `’`)."""
    if not policy.repair_encoding:
        return reading
    blocks = tuple(replace(block, text=_mended(block.text)) for block in reading.blocks)
    return replace(reading, blocks=blocks, row=replace(reading.row, title=_mended(reading.row.title)))


def is_kept_out(reading: Reading, place: str, policy: IngestPolicy, report: IngestReport) -> bool:
    """Whether the policy keeps the content of this reading out; then the report has the reason."""
    text = reading.text
    if policy.drop_poor and (flaw := find_flaw(text, min_chars=policy.min_chars)):
        report.drop(place, flaw[0].value, flaw[1])
        return True
    if policy.block_words and (phrase := _word_list(policy.blocked_words).first_in(f"{reading.row.title}\n{text}")):
        report.drop(place, "blocked_word", f"It holds {phrase!r}, which the list of blocked words has.")
        return True
    return False


def without_copies(kb: KnowledgeBase, placed: Sequence[PlacedDraft], policy: IngestPolicy, report: IngestReport) -> list[PlacedDraft]:
    """The drafts without new ones that say what another document says, exactly or nearly, as far as the policy keeps such out.

    Documents that are there already are never dropped, since a change of theirs would be lost. A few queries in all.
    """
    if policy.duplicates == _KEEP and policy.near_duplicates == _KEEP:
        return list(placed)
    ids = [one.draft.row.id for one in placed]
    stored = set(Document.objects.filter(kb=kb, external_id__in=ids).order_by().values_list("external_id", flat=True))
    exact, near = _Copies(kb, placed, policy), _NearCopies(kb, placed, policy)
    kept: list[PlacedDraft] = []
    for one in placed:
        rule, finding = policy.duplicates, exact.other(one.draft)
        if finding is None:
            rule, finding = policy.near_duplicates, near.other(one.draft)
        if finding and rule == _DROP and one.draft.row.id not in stored:
            report.drop(one.place, *finding)
            continue
        if finding:
            report.note(one.place, *finding)
        exact.add(one.draft)
        near.add(one.draft)
        kept.append(one)
    return kept


class _Copies:
    """Texts that are there already, by their digest: those of the database that these drafts could repeat, and of the drafts so far."""

    def __init__(self, kb: KnowledgeBase, placed: Sequence[PlacedDraft], policy: IngestPolicy) -> None:
        self._others: dict[str, list[str]] = {}
        self._wanted = policy.duplicates != _KEEP
        if self._wanted:
            digests = {digest for one in placed if (digest := self._digest(one.draft))}
            rows = Document.objects.filter(kb=kb, text_sha256__in=digests).order_by().values_list("text_sha256", "external_id")
            for digest, id in rows[:MAX_CANDIDATES]:
                self._others.setdefault(digest, []).append(id)

    def other(self, draft: Draft) -> tuple[str, str] | None:
        """A code and a sentence where another document has the same text."""
        other = _other_than(draft, self._others.get(self._digest(draft), ()))
        return ("duplicate", f"Its text is the same as that of {other!r}.") if other else None

    def add(self, draft: Draft) -> None:
        """Remembers a draft that stays."""
        if self._wanted and (digest := self._digest(draft)):
            self._others.setdefault(digest, []).append(str(draft.row.id))

    @staticmethod
    def _digest(draft: Draft) -> str:
        """Empty for a short text: `Yes.` may well be said twice."""
        return text_digest(draft.chunked.text) if len(draft.chunked.text) >= MIN_CHARS_OF_A_COPY else ""


class _NearCopies:
    """Fingerprints near those of the drafts, from the database, and those of the drafts so far."""

    def __init__(self, kb: KnowledgeBase, placed: Sequence[PlacedDraft], policy: IngestPolicy) -> None:
        self._wanted = policy.near_duplicates != _KEEP
        self._by_band: dict[tuple[int, int], list[tuple[int, str]]] = {}
        prints = {one.draft.simhash for one in placed if one.draft.simhash is not None} if self._wanted else set()
        if prints:
            for fingerprint, id in _near(kb, prints):
                self._remember(fingerprint, id)

    def other(self, draft: Draft) -> tuple[str, str] | None:
        """A code and a sentence where the text of another document differs little."""
        if not self._wanted or draft.simhash is None:
            return None
        candidates = (pair for key in enumerate(bands_of(draft.simhash)) for pair in self._by_band.get(key, ()))
        other = _other_than(draft, (id for fingerprint, id in candidates if bits_apart(fingerprint, draft.simhash) <= MAX_BITS))
        return ("near_duplicate", f"Its text is nearly the same as that of {other!r}.") if other else None

    def add(self, draft: Draft) -> None:
        """Remembers a draft that stays."""
        if self._wanted and draft.simhash is not None:
            self._remember(draft.simhash, str(draft.row.id))

    def _remember(self, fingerprint: int, id: str) -> None:
        for key in enumerate(bands_of(fingerprint)):
            self._by_band.setdefault(key, []).append((fingerprint, id))


def _near(kb: KnowledgeBase, prints: Iterable[int]) -> list[tuple[int, str]]:
    """(fingerprint, id) of the stored documents near one of these fingerprints.

    One query over one index a band, which holds the fingerprints too: rows are read for those alone that are near.
    """
    documents = Document.objects.filter(kb=kb).order_by()  # in the model's own order, SQLite would read all of them
    found: list[tuple[int, str]] = []
    for number in range(BANDS):
        by_band: dict[int, list[int]] = defaultdict(list)
        for fingerprint in prints:
            by_band[bands_of(fingerprint)[number]].append(fingerprint)
        band = f"band_{number}"
        sharing = documents.filter(**{f"{band}__in": set(by_band)}).values_list(band, "simhash")[:MAX_CANDIDATES]
        near = {other for value, other in sharing if any(bits_apart(other, own) <= MAX_BITS for own in by_band[value])}
        if near:
            found += documents.filter(**{f"{band}__in": {bands_of(other)[number] for other in near}}, simhash__in=near).values_list(
                "simhash", "external_id"
            )[:MAX_CANDIDATES]
    return found


def _other_than(draft: Draft, ids: Iterable[str]) -> str | None:
    return next((id for id in ids if id != draft.row.id), None)


def _mended(text: str) -> str:
    return text if text.isascii() else ftfy.fix_encoding(text)


@lru_cache(maxsize=16)
def _word_list(words: str) -> WordList:
    return WordList(words.splitlines())
