"""The search page of a knowledge base, and the page on which a document is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.search.archive import readable
from apps.retrieval.search.cited import MAX_PLACES
from apps.retrieval.selectors import may_search, readable_scope, searchable_kb
from apps.retrieval.summaries.asking import may_have_written
from core.config import get_settings
from core.errors import NotAuthenticated, NotFound

CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'"
SHOWN_CHARS = 400_000
_AT = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a document's text; `found` where it is what the reader came for, `first` the first of these, with the page that it stands on."""

    text: str
    found: bool
    first: bool = False
    page: int | None = None


def search_home(request: HttpRequest) -> HttpResponse:
    """The knowledge bases that the reader may search."""
    caller = caller_of(request)
    bases = [kb for kb in KnowledgeBase.objects.all() if may_search(kb, caller)]
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
    places = _places(request.GET.get("at", ""), len(found.text))
    first, last = _window(found.text, places)
    context = {
        "kb": base,
        "document": found,
        "pieces": _pieces(found, places, first, last),
        "cut_before": first > 0,
        "cut": last < len(found.text),
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


def _window(text: str, places: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """What is shown of a text: its beginning, or of a very long one what stands around the first place."""
    at, end = places[0] if places else (0, 0)
    if end <= SHOWN_CHARS:
        return 0, min(len(text), SHOWN_CHARS)
    begin = at - SHOWN_CHARS // 2
    line = text.find("\n", begin, at) + 1 or begin
    return line, min(len(text), line + SHOWN_CHARS)


def _pieces(document: Document, places: Sequence[tuple[int, int]], first: int, last: int) -> list[Piece]:
    """The text before, in and after what was found, from `first` to `last`; what is empty is left out."""
    pieces: list[Piece] = []
    done = first
    for start, end in ((start, min(end, last)) for start, end in places if start < last):
        is_first = done == first
        page = _page_of(document, start) if is_first else None
        pieces += [Piece(document.text[done:start], found=False), Piece(document.text[start:end], found=True, first=is_first, page=page)]
        done = end
    return [piece for piece in (*pieces, Piece(document.text[done:last], found=False)) if piece.text]


def _page_of(document: Document, at: int) -> int | None:
    """The page of the source on which this place of the text stands: a heading before a passage stands on the page where that begins."""
    passage = Passage.objects.filter(document=document, end__gt=at).order_by("start").first()
    return page_at(passage.page, passage.later_pages, at - passage.start) if passage else None


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
