"""By which encoders' questions can vectors be searched here? By the active generation's, and by that of the one before while it is asked for.

Where a process fills vector indexes of its own, those of two encoders lie side by side: after a switch, questions of the
old encoder go on being answered by the generation before, which the database keeps for a rollback, and those of the new one
by the new generation as soon as it is here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from apps.retrieval.models import IndexGeneration, KnowledgeBase
from apps.retrieval.outbox.indexing import mismatch
from core.errors import IndexMismatch
from core.types import EntryKind

IDLE_S = 300.0

Place = tuple[int, EntryKind]
_Status = IndexGeneration.Status


def searchable_generations(kb: KnowledgeBase) -> list[IndexGeneration]:
    """The active generation, then the one before it where another encoder made that."""
    generations = IndexGeneration.objects.filter(kb=kb)
    active = generations.filter(status=_Status.ACTIVE).first()
    if active is None:
        return []
    before = generations.filter(status=_Status.RETIRED).exclude(encoder=active.encoder).order_by("-activated_at").first()
    return [active] if before is None else [active, before]


class HeldGenerations:
    """What the database keeps of each knowledge base and kind, which of it is held here, and by which encoders questions came lately."""

    def __init__(self) -> None:
        self._slugs: dict[Place, str] = {}
        self._kept: dict[Place, dict[str, int]] = {}  # primary keys by encoder, the active generation first
        self._held: dict[Place, frozenset[str]] = {}
        self._asked_at: dict[str, float] = {}

    def keep(self, place: Place, slug: str, generations: Sequence[IndexGeneration]) -> None:
        """Notes what the database keeps: `searchable_generations`."""
        self._slugs[place] = slug
        self._kept[place] = {generation.encoder: generation.pk for generation in generations}

    def hold(self, place: Place, encoders: Collection[str]) -> None:
        """Notes by which encoders' questions vectors can be searched, and by no others."""
        self._held[place] = frozenset(encoders)

    def hold_too(self, place: Place, encoder: str) -> bool:
        """Notes that vectors by this encoder have come to those that are held, unless the database keeps none any more; whether it did."""
        if not self.held(place) or not self.is_kept(place, encoder):
            return False
        self._held[place] = self.held(place) | {encoder}
        return True

    def held(self, place: Place) -> frozenset[str]:
        """By which encoders' questions vectors can be searched."""
        return self._held.get(place, frozenset())

    def is_kept(self, place: Place, encoder: str) -> bool:
        """Whether the database keeps a generation by this encoder."""
        return encoder in self._kept.get(place, {})

    def primary_keys(self, kb_ids: Sequence[int], kind: EntryKind, encoder: str) -> list[int]:
        """The generations that the encoder made."""
        return [pk for kb_id in kb_ids if (pk := self._kept.get((kb_id, kind), {}).get(encoder))]

    def check(self, place: Place, encoder: str) -> None:
        """Notes that a question came by this encoder. Raises IndexMismatch where no vectors of it are held."""
        self._asked_at[encoder] = time.monotonic()
        held = self.held(place)
        if held and encoder not in held:
            if self.is_kept(place, encoder):
                raise _coming(self._slugs[place], encoder)
            raise mismatch(self._slugs[place], self._active(place), encoder)

    def idle(self, place: Place) -> frozenset[str]:
        """The encoders held for the generation before that nobody asks by any more: for some minutes, and since the active one was asked."""
        active = self._active(place)
        if active not in self._asked_at:
            return frozenset()
        limit = time.monotonic() - IDLE_S
        return frozenset(encoder for encoder in self.held(place) if encoder != active and self._asked_at.get(encoder, limit) <= limit)

    def forget(self, place: Place) -> None:
        """Notes that the knowledge base is gone."""
        for table in (self._slugs, self._kept, self._held):
            table.pop(place, None)

    def _active(self, place: Place) -> str:
        return next(iter(self._kept.get(place, {})), "")


def _coming(slug: str, encoder: str) -> IndexMismatch:
    return IndexMismatch(
        f"The vectors of {slug!r} by {encoder} are being read into this process; words answer meanwhile. Try again in some seconds.",
        repair=f"manage.py verify_index --kb {slug}",
    )
