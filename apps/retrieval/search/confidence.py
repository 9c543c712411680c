"""How sure is it that the best sentences answer? As sure as they stand out from all else that was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from apps.retrieval.search.fusion import AnswerFit
from apps.retrieval.search.hybrid import PassageHit

COMPARED, COMPARED_SENTENCES = 10, 6  # passages, and sentences of the first of them
ROW_UNMET = -1.0  # on the logit, where nothing tells which row of a table is asked for; set on tests/quality/tables/tables.json

# The same for what a row lacks of the question beyond what those that answer do; set on tables.json and columns.json there.
COLUMN_UNMET, USUALLY_LACKING = -15.0, 0.23

CODE_NOWHERE = -15.0  # the same where none of the passages found has a model number that is asked about: what they say is another's


def evidence(hits: Sequence[PassageHit], sentences: Sequence[float], words: float, typical: Mapping[str, float]) -> dict[str, float]:
    """What tells whether the best sentence answers: the first passage's cosine, and how far its `near` and the sentence's score lie above the others'.

    `sentences` are the scores of sentences, best first, and `words` the share of the question's terms in the best one. Heights
    carry over from one kind of question to another, levels do not: a question in a person's own words meets the passage that
    answers it less well than a question that was written beside a passage meets that passage's neighbours.
    """
    return {
        "cosine": hits[0].cosine or 0.0,
        "near_above": height_above([hit.near for hit in hits[:COMPARED] if hit.near is not None], typical.get("near", 0.0)),
        "sentence_above": height_above(sentences[:COMPARED_SENTENCES], typical.get("sentence", 0.0)),
        "sentence_words": words,
    }


def height_above(values: Sequence[float], typical: float) -> float:
    """How far the first value lies above the mean of the others and of one more that is `typical`: where there are few others, it is what counts."""
    if not values:
        return 0.0
    return values[0] - (math.fsum(values[1:]) + typical) / len(values)


def reasons_of(found: Mapping[str, float], fit: AnswerFit) -> dict[str, float]:
    """What each piece of evidence adds to the logit of the confidence."""
    return {name: value * fit.confidence[name] for name, value in found.items() if name in fit.confidence}


def probability(reasons: Mapping[str, float], fit: AnswerFit) -> float:
    """The confidence that the reasons and the fit's intercept make."""
    return 1.0 / (1.0 + math.exp(-(fit.intercept + math.fsum(reasons.values()))))
