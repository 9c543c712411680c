"""What can be done to a knowledge base's query layer: saving it takes effect in every process, with the next revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts.audit import record
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.models import Entry, KnowledgeBase, QueryLayer
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import lock_next_revision
from apps.retrieval.query_layer.layer import forget_layers, make_layer
from apps.retrieval.query_layer.rules import parse_synonyms, parse_words

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLayerSettings:
    """What a person sets: which parts are used, the words and the synonym rules, one a line."""

    uses_words: bool = True
    uses_synonyms: bool = True
    uses_typos: bool = True
    uses_numbers: bool = True
    words: str = ""
    synonyms: str = ""


def save_query_layer(kb: KnowledgeBase, settings: QueryLayerSettings, caller: Caller) -> QueryLayer:
    """Stores the layer. Entries that hold a word that came or went are indexed anew; nothing else is, and no vector.

    Raises InvalidRequest that names the line of a word or rule that cannot be used, and Forbidden.
    """
    caller.require(Permission.PUBLISH, kb.pk)
    words = parse_words(settings.words) if settings.uses_words else ()
    parse_words(settings.words), parse_synonyms(settings.synonyms)
    before = QueryLayer.objects.filter(kb=kb).first()
    old = parse_words(before.words) if before is not None and before.uses_words else ()
    seen = KnowledgeBase.objects.values_list("revision", flat=True).get(pk=kb.pk)
    stale = list(_stale(Entry.objects.filter(kb=kb, deleted=False, revision__lte=seen), old, words))
    with transaction.atomic():
        revision = lock_next_revision(kb)
        stale += _stale(Entry.objects.filter(kb=kb, deleted=False, revision__gt=seen), old, words)
        layer, _ = QueryLayer.objects.select_for_update().get_or_create(kb=kb)
        for name in QueryLayerSettings.__slots__:
            setattr(layer, name, getattr(settings, name))
        layer.version += 1
        layer.save()
        for start in range(0, len(stale), CHUNK):
            Entry.objects.filter(pk__in=stale[start : start + CHUNK]).update(revision=revision)
        record(caller, "save_query_layer", target=kb.slug, kb=kb.slug)
    forget_layers()
    follower().wake()
    return layer


def _stale(entries: QuerySet[Entry], old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[int]:
    """The entries whose words are others under the new dictionary."""
    if set(old) == set(new):
        return
    before, after = make_layer(words=old), make_layer(words=new)
    for pk, text in entries.values_list("pk", "text").iterator(chunk_size=2000):
        if before.marks(text) != after.marks(text):
            yield pk
