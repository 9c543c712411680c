"""How a trace looks to a person: the candidates as a table, reasons as pairs, the rest as it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from apps.retrieval.search.admin_explain import PARTS
from core.types import JSONDict, JSONValue

_SKILLS = {
    "faq": gettext_lazy("FAQs"), "passage": gettext_lazy("Documents"), "smalltalk": gettext_lazy("Small talk"),
}  # fmt: skip
_LISTS = {"faq": "admin:faq_faq_changelist", "passage": "admin:retrieval_document_changelist"}
_NUMBERS = {
    **PARTS,
    "near_above": gettext_lazy("how far the passage stands out"),
    "sentence_above": gettext_lazy("how far the sentence stands out"),
    "sentence_words": gettext_lazy("words of the question in the sentence"),
    "hubness": gettext_lazy("near to many things"),
    "question_met": gettext_lazy("the question is met"),
    "phrasing_met": gettext_lazy("the phrasing is met"),
    "other_kind": gettext_lazy("another kind of question"),
    "density": gettext_lazy("how near all FAQs are"),
    "above_density": gettext_lazy("how far above that"),
    "encode": gettext_lazy("encoding"),
    "match": gettext_lazy("finding"),
    "answer": gettext_lazy("answering"),
    "total": gettext_lazy("altogether"),
}
_BY = {
    "generator": gettext_lazy("written by a generator"),
    "extraction": gettext_lazy("sentences of the documents"),
    "nobody": gettext_lazy("nobody"),
}
_VERDICTS = {
    "supported": gettext_lazy("supported by source"),
    "number": gettext_lazy("no source has its numbers"),
    "name": gettext_lazy("no source has its names"),
    "denial": gettext_lazy("no source denies the same"),
    "unlike": gettext_lazy("no source says this"),
    "order": gettext_lazy("an order to a model"),
}


def explain(trace: JSONDict) -> SafeString:
    """The trace of a turn (one part a skill) as HTML."""
    parts = [_part(name, part) for name, part in trace.items()]
    return SafeString(render_to_string("admin/dialogue/trace.html", {"parts": parts, "raw": as_json(trace)}))


def skill_name(skill: str) -> str:
    """What people call a skill; empty where none answered, its own name where nobody has given it another."""
    return str(_SKILLS.get(skill, skill))


def as_json(value: object) -> str:
    """Indented JSON, letters as they are."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def pairs(values: Mapping[str, object]) -> SafeString:
    """A small table of names and values."""
    return SafeString(render_to_string("admin/dialogue/pairs.html", {"rows": _named(values)}))


def preformatted(value: object) -> SafeString:
    """Stored data, indented."""
    return format_html('<pre class="panel-json">{}</pre>', as_json(value))


def _part(name: str, part: JSONValue) -> dict[str, object]:
    found = part if isinstance(part, dict) else {"value": part}
    listed = found.get("candidates")
    candidates = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    reasons = found.get("reasons")
    return {
        "name": skill_name(name),
        "list": _LISTS.get(name, ""),
        "accepted": found.get("accepted"),
        "failed": found.get("failed"),
        "exact": found.get("exact"),
        "confidence": found.get("confidence"),
        "reasons": _named(reasons) if isinstance(reasons, dict) else [],
        "candidates": [_candidate(row, candidates) for row in candidates],
        "written": _written(found.get("answer")),
    }


def _written(answer: JSONValue) -> dict[str, object] | None:
    """How a written answer came about: who answered in the end, and what became of each sentence of the draft."""
    if not isinstance(answer, dict):
        return None
    drafted = answer.get("sentences")
    rows = [row for row in drafted if isinstance(row, dict)] if isinstance(drafted, list) else []
    return {
        "by": _BY.get(str(answer.get("by")), answer.get("by")),
        "failure": answer.get("failure"),
        "sentences": [
            {
                "text": row.get("text"),
                "source": row.get("source"),
                "supported": row.get("verdict") == "supported",
                "verdict": _VERDICTS.get(str(row.get("verdict")), row.get("verdict")),
                "features": [(key, _number(value)) for key, value in features.items()] if isinstance(features, dict) else [],
            }
            for row in rows
            for features in [row.get("features")]
        ],
    }


def _candidate(row: Mapping[str, JSONValue], every: Sequence[Mapping[str, JSONValue]]) -> dict[str, object]:
    """A candidate with the share (0..100) that its bar takes of the best one's score."""
    score = _float(row.get("score"))
    best = max((_float(other.get("score")) for other in every), default=0.0)
    contributions, question = row.get("contributions"), row.get("question")
    return {
        "id": row.get("id"),
        "phrasing": row.get("phrasing"),
        "score": _number(score),
        "share": round(100 * score / best) if best > 0 and score > 0 else 0,
        "contributions": _named(contributions) if isinstance(contributions, dict) else [],
        "question": question if isinstance(question, dict) else None,
    }


def _named(values: Mapping[str, object]) -> list[tuple[object, object]]:
    """Numbers with the names that people have for them."""
    return [(_NUMBERS.get(name, name), _number(value)) for name, value in values.items()]


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _number(value: object) -> object:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
