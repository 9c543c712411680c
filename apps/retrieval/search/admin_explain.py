"""The panel's page that says why documents are found, and why one is not: for who edits the knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.panel import caller_of
from apps.accounts.permissions import Permission
from apps.accounts.refusals import in_words
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.search.explain import explain_search
from apps.retrieval.search.page import encode_search
from apps.retrieval.search.params import read_search
from apps.retrieval.selectors import kb_for, scope_of
from core.errors import Forbidden, NotFound, QAError
from core.text import clean_text

PARTS = {
    "cosine": gettext_lazy("meaning"),
    "bm25": gettext_lazy("words"),
    "met": gettext_lazy("words by meaning"),
    "near": gettext_lazy("words by meaning, close together"),
    "reranked": gettext_lazy("reranker"),
}
MODES = {"hybrid": gettext_lazy("both"), "lexical": gettext_lazy("words alone"), "vector": gettext_lazy("vectors alone")}


def explain_page(request: HttpRequest, kb: str) -> HttpResponse:
    """The first hits of `q` with their parts and, where `document` names one, its place or the rule that keeps it out."""
    try:
        base = kb_for(kb, caller_of(request), Permission.EDIT)
    except NotFound as error:
        raise Http404 from error
    except Forbidden as error:
        raise PermissionDenied from error
    asked, document = request.GET.get("q", ""), clean_text(request.GET.get("document", ""))
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Why it was found"),
        "kb": base,
        "asked": asked,
        "document": document,
    }
    if asked.strip():
        try:
            context |= _explained(request, base, document)
        except QAError as error:
            context["refusal"] = in_words(error.message)
    return TemplateResponse(request, "admin/retrieval/explain.html", context)


def _explained(request: HttpRequest, base: KnowledgeBase, document: str) -> dict[str, Any]:
    search, scope = read_search(request.GET), scope_of([base], groups=None)
    answer: dict[str, Any] = explain_search(search, encode_search(search, scope), base, scope, document)
    named = answer.get("document") or {}
    named = {**named, "says": in_words(named.get("says", ""))} if named else {}
    ids = [hit["document"] for hit in answer["hits"]] + [document]
    titles = {one.external_id: one for one in Document.objects.filter(kb=base, external_id__in=ids).defer("text")}
    most = max((abs(float(value)) for hit in answer["hits"] for value in hit["counts"].values()), default=1.0) or 1.0
    return {
        "degraded": answer["degraded"],
        "hits": [_hit(hit, titles, most) for hit in answer["hits"]],
        "named": named,
        "named_document": titles.get(document),
        "places": [(MODES.get(mode, mode), place) for mode, place in named.get("places", {}).items()],
        "best": _hit({"place": None, **named["best"]}, titles, most) if named.get("best") else None,
    }


def _hit(hit: Mapping[str, Any], titles: Mapping[str, Document], most: float) -> dict[str, Any]:
    document = titles.get(hit["document"])
    return {
        **hit,
        "title": str(document or hit["document"]),
        "pk": document.pk if document else None,
        "parts": [_part(name, value, hit["says"].get(name), most) for name, value in hit["counts"].items()],
        "terms": list(hit["terms"].items()),
        "question": {**hit["question"], "terms": list(hit["question"]["terms"].items())} if "question" in hit else None,
    }


def _part(name: str, counts: float, says: float | None, most: float) -> dict[str, Any]:
    """A part of the score: its name, what it says, what that counts for, and how long its bar is."""
    return {"name": PARTS.get(name, name), "says": says, "counts": counts, "percent": f"{min(100.0, 100 * abs(counts) / most):.1f}"}
