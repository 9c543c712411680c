"""How good are found documents, and answers read out of them? The measures of `evaluate retrieval` and `evaluate reading`."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

RECALLS = (1, 5, 10)
NDCG_AT = 10

_PIECE = re.compile(
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]|[^\W_\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+"
)
_ARTICLES = frozenset({"a", "an", "the"})


def retrieval_scores(found: Sequence[str], relevant: Collection[str]) -> dict[str, float]:
    """One question's `recall_at_1`, `_5`, `_10`, `mrr` and `ndcg_at_10`: its ids, best first, against the ids that are right.

    Recall is the share of the right ids that are among the first. MRR is 1 / place of the first right id; nDCG has
    binary gains (Järvelin and Kekäläinen 2002). All are 0 where nothing is right.
    """
    right = set(relevant)
    places = [place for place, id in enumerate(found, 1) if id in right]
    scores = {f"recall_at_{k}": _share(sum(place <= k for place in places), len(right)) for k in RECALLS}
    scores["mrr"] = 1 / places[0] if places else 0.0
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(NDCG_AT, len(right)) + 1))
    scores[f"ndcg_at_{NDCG_AT}"] = _share(sum(1 / math.log2(place + 1) for place in places if place <= NDCG_AT), ideal)
    return scores


def reading_scores(answer: str, accepted: Sequence[str]) -> dict[str, float]:
    """One question's `exact_match` and `f1` (as for SQuAD, Rajpurkar et al. 2016) and `answer_found`: the answer shown holds an accepted one.

    Words are compared without case, punctuation and articles, Chinese by characters. Where no answer is accepted, only an
    empty one is right (Rajpurkar et al. 2018).
    """
    if not accepted:
        silent = float(not answer.strip())
        return {"exact_match": silent, "f1": silent, "answer_found": silent}
    said = answer_pieces(answer)
    wanted = [answer_pieces(one) for one in accepted]
    return {
        "exact_match": float(any(said == one for one in wanted)),
        "f1": max(_f1(said, one) for one in wanted),
        "answer_found": float(any(_holds(said, one) for one in wanted)),
    }


def answer_pieces(text: str) -> list[str]:
    """What answers are compared by: lower-case words without articles, and single Han characters."""
    return [piece for piece in _PIECE.findall(unicodedata.normalize("NFKC", text).casefold()) if piece not in _ARTICLES]


def mean_scores(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over questions; empty where there are none."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _holds(said: Sequence[str], wanted: Sequence[str]) -> bool:
    count = len(wanted)
    return bool(wanted) and any(said[start : start + count] == list(wanted) for start in range(len(said) - count + 1))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
