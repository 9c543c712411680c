"""How near do the different FAQs of a knowledge base lie to one another? What a cosine is worth depends on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apps.faq.features import settled_density
from apps.faq.models import FAQQuestion
from apps.retrieval.registry import indexes_for
from core.errors import SearchUnavailable
from core.remembered import Remembered
from core.types import EntryKind, FloatArray, Scope

SAMPLE = 64  # the standard error of the mean is then .0025
NEIGHBOURS = 16
KEEP_S = 600.0


def base_density(scope: Scope, typical: float) -> float:
    """The density of what is in scope (`features.settled_density`); for a base that is too small to tell, or cannot be reached, `typical`.

    Measured on a sample of phrasings and remembered for ten minutes, or until the revision has doubled: an edit moves it little.
    """
    stage = sum(scope.revisions).bit_length()
    try:
        mean, faqs = _measured.get((scope.kb_ids, stage))
    except SearchUnavailable:
        mean, faqs = None, 0
    return settled_density(mean, faqs, typical)


def forget_densities() -> None:
    """Measures anew from the next question on."""
    _measured.clear()


def _measure(key: tuple[tuple[int, ...], int]) -> tuple[float | None, int]:
    """The mean cosine of sampled phrasings to the nearest of another FAQ, and how many FAQs were sampled."""
    scope = Scope(kb_ids=key[0])
    vectors = _sampled(scope)
    index = indexes_for(EntryKind.FAQ).vector
    hits = {id: index.search(vector, NEIGHBOURS, scope) for id, vector in vectors.items()}
    owners = _owners([*hits, *(hit.id for found in hits.values() for hit in found)])
    nearest = [
        next((hit.score for hit in found if id in owners and owners.get(hit.id, owners[id]) != owners[id]), None)
        for id, found in hits.items()
    ]
    known = [cosine for cosine in nearest if cosine is not None]
    return (float(np.mean(known)) if known else None), len({owners[id] for id in hits if id in owners})


def _sampled(scope: Scope) -> dict[int, FloatArray]:
    """Up to `SAMPLE` phrasings' vectors, evenly over the ids."""
    index = indexes_for(EntryKind.FAQ).vector
    vectors: dict[int, FloatArray] = {}
    for kb_id in scope.kb_ids:
        ids = sorted(index.ids(kb_id))
        vectors |= index.vectors(kb_id, ids[:: max(1, -(-len(ids) * len(scope.kb_ids) // SAMPLE))])
    return vectors


def _owners(ids: Sequence[int]) -> dict[int, int]:
    return dict(FAQQuestion.objects.filter(pk__in=set(ids)).values_list("pk", "faq_id"))


_measured: Remembered[tuple[tuple[int, ...], int], tuple[float | None, int]] = Remembered(_measure, keep_s=lambda: KEEP_S)
