"""The search page of a knowledge base, and the page on which a document is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.search.archive import readable
from apps.retrieval.selectors import readable_scope, searchable_kb
from apps.retrieval.summaries.asking import may_have_written
from core.config import get_settings
from core.errors import NotAuthenticated, NotFound

CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'"
SHOWN_CHARS = 400_000
_AT = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")
MAX_PLACES = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a document's text; `found` where it is what the reader came for, `first` the first of these."""

    text: str
    found: bool
    first: bool = False


def search_home(request: HttpRequest) -> HttpResponse:
    """The knowledge bases that the reader may search."""
    caller = caller_of(request)
    bases = [kb for kb in KnowledgeBase.objects.all() if kb.open_search or caller.may(Permission.READ, kb.pk)]
    if not bases and caller.anonymous:
        return redirect_to_login(request.get_full_path())
    return _page(request, "search_home.html", {"bases": bases})


def search_view(request: HttpRequest, kb: str) -> HttpResponse:
    """The page; its modules search through the API."""
    caller = caller_of(request)
    base = _base(kb, caller)
    if base is None:
        return redirect_to_login(request.get_full_path())
    context = {
        "kb": base,
        "page": {
            "kb": base.slug,
            "name": base.name,
            "may_explain": caller.may(Permission.EDIT, base.pk),
            "may_write": may_have_written(base, caller),
        },
        "max_question_chars": get_settings().max_question_chars,
    }
    return _page(request, "search.html", context)


def document_view(request: HttpRequest, kb: str, document: str) -> HttpResponse:
    """A document's text; `?at=start-end` marks what was found, in several places with commas between, and goes to the first."""
    caller = caller_of(request)
    base = _base(kb, caller)
    if base is None:
        return redirect_to_login(request.get_full_path())
    found = readable(readable_scope(base, caller)).filter(external_id=document).first() if "\x00" not in document else None
    if found is None:
        raise Http404
    context = {
        "kb": base,
        "document": found,
        "pieces": _pieces(found, request.GET.get("at", "")),
        "cut": len(found.text) > SHOWN_CHARS,
        "may_edit": caller.may(Permission.EDIT, base.pk),
    }
    return _page(request, "search_document.html", context)


def _base(slug: str, caller: Caller) -> KnowledgeBase | None:
    """The base; None where signing in may help. Raises Http404 where it does not exist for this reader."""
    try:
        return searchable_kb(slug, caller)
    except NotAuthenticated:
        return None
    except NotFound as error:
        raise Http404 from error


def _pieces(document: Document, at: str) -> list[Piece]:
    """The text before, in and after what was found; what is empty is left out."""
    text = document.text[:SHOWN_CHARS]
    pieces: list[Piece] = []
    done = 0
    for start, end in _places(at, len(text)):
        pieces += [Piece(text[done:start], found=False), Piece(text[start:end], found=True, first=done == 0)]
        done = end
    return [piece for piece in (*pieces, Piece(text[done:], found=False)) if piece.text]


def _places(at: str, length: int) -> list[tuple[int, int]]:
    """The places that `at` names, in order and apart; what is no place, or none of this text, is left out."""
    named = (_AT.fullmatch(one) for one in at.split(",", MAX_PLACES)[:MAX_PLACES])
    places: list[tuple[int, int]] = []
    for start, end in sorted((int(one[1]), min(int(one[2]), length)) for one in named if one):
        begin = max(start, places[-1][1] if places else 0)
        if begin < end:
            places.append((begin, end))
    return places


def _page(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    page = render(request, template, {"language": language, **context})
    page.headers["Content-Security-Policy"] = CSP
    return page
