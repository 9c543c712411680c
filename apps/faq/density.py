"""How near do the different FAQs of a knowledge base lie to one another? What a cosine is worth depends on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.faq.features import settled_density
from apps.faq.models import FAQQuestion
from apps.retrieval.search.nearest import entry_vectors, ids_with_vector, search_nearest, vector_search
from core.errors import IndexMismatch, SearchUnavailable
from core.remembered import Remembered
from core.types import EntryKind, FloatArray, Hit, Scope

SAMPLE = 64  # the standard error of the mean is then .0025
NEIGHBOURS = 16
KEEP_S = 600.0

Measured = tuple[tuple[int, ...], int, str]  # knowledge bases, how far they have grown, encoder


def base_density(scope: Scope, encoder: str, typical: float) -> float:
    """The density of what is in scope by the encoder's vectors (`features.settled_density`); for a base that is too small to tell, or cannot be reached, `typical`.

    Measured on a sample of phrasings and remembered for ten minutes, or until the revision has doubled: an edit moves it little.
    """
    stage = sum(scope.revisions).bit_length()
    try:
        mean, faqs = _measured.get((scope.kb_ids, stage, encoder))
    except (SearchUnavailable, IndexMismatch):
        mean, faqs = None, 0
    return settled_density(mean, faqs, typical)


def forget_densities() -> None:
    """Measures anew from the next question on."""
    _measured.clear()


def _measure(key: Measured) -> tuple[float | None, int]:
    """The mean cosine of sampled phrasings to the nearest of another FAQ, and how many FAQs were sampled."""
    scope, encoder = Scope(kb_ids=key[0]), key[2]
    vectors = _sampled(scope, encoder)
    hits = dict(zip(vectors, _nearest(list(vectors.values()), scope, encoder), strict=True))
    owners = _owners([*hits, *(hit.id for found in hits.values() for hit in found)])
    nearest = [
        next((hit.score for hit in found if id in owners and owners.get(hit.id, owners[id]) != owners[id]), None)
        for id, found in hits.items()
    ]
    known = [cosine for cosine in nearest if cosine is not None]
    return (float(np.mean(known)) if known else None), len({owners[id] for id in hits if id in owners})


def _sampled(scope: Scope, encoder: str) -> dict[int, FloatArray]:
    """Up to `SAMPLE` phrasings' vectors, evenly over the ids."""
    vectors: dict[int, FloatArray] = {}
    for kb_id in scope.kb_ids:
        ids = ids_with_vector(EntryKind.FAQ, kb_id, encoder)
        vectors |= entry_vectors(EntryKind.FAQ, [kb_id], ids[:: max(1, -(-len(ids) * len(scope.kb_ids) // SAMPLE))], encoder)
    return vectors


def _nearest(vectors: Sequence[FloatArray], scope: Scope, encoder: str) -> list[list[Hit]]:
    """What lies near each of these vectors, which are of the scope itself."""
    if not vectors:
        return []
    return search_nearest(np.stack(vectors), encoder, vector_search(EntryKind.FAQ, scope, NEIGHBOURS))


def _owners(ids: Sequence[int]) -> dict[int, int]:
    return dict(FAQQuestion.objects.filter(pk__in=set(ids)).values_list("pk", "faq_id"))


_measured: Remembered[Measured, tuple[float | None, int]] = Remembered(_measure, keep_s=lambda: KEEP_S)
