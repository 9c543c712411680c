"""The HTTP route for searching documents."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.limits import Account, take_request
from apps.accounts.permissions import Permission
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.search.archive import archive_page, read_browse
from apps.retrieval.search.explain import explain_search
from apps.retrieval.search.page import encode_search, search_in_turn
from apps.retrieval.search.params import read_search
from apps.retrieval.selectors import kb_for, readable_scope, scope_of, searchable_kb
from core.text import clean_text
from core.types import Scope, SearchMode


class SnippetSchema(serializers.Serializer):
    """A piece of a hit's text, with the spans (offsets in the piece) that the question has too."""

    text = serializers.CharField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    marks = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2))


class HitSchema(serializers.Serializer):
    """A passage that was found; `start` and `end` are its offsets in the document's text."""

    id = serializers.IntegerField()
    document = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    score = serializers.FloatField()
    highlights = SnippetSchema(many=True)
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    heading = serializers.CharField(allow_blank=True)
    page = serializers.IntegerField(allow_null=True)
    url = serializers.CharField(allow_blank=True)
    date = serializers.DateField(allow_null=True)
    category = serializers.CharField(allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField())
    author = serializers.CharField(allow_blank=True)
    language = serializers.CharField(allow_blank=True)
    words_found = serializers.BooleanField(required=False)


class ListedSchema(HitSchema):
    """A document of an archive: nothing of it was found by words, so it has no passage and no score."""

    id = serializers.IntegerField(allow_null=True)
    score = serializers.FloatField(allow_null=True)


class SearchPageSchema(serializers.Serializer):
    hits = HitSchema(many=True)
    total = serializers.IntegerField()
    facets = serializers.DictField(child=serializers.ListField())
    next = serializers.CharField(allow_null=True)
    degraded = serializers.BooleanField()
    words_found = serializers.BooleanField(required=False)
    with_words = serializers.IntegerField(required=False)


class ArchivePageSchema(SearchPageSchema):
    hits = ListedSchema(many=True)


_LISTS = ("category", "tags", "language", "author")


class SearchView(APIView):
    """The documents of a knowledge base."""

    @extend_schema(
        responses=SearchPageSchema,
        summary="Search documents",
        tags=["search"],
        parameters=[
            OpenApiParameter("q", str, required=True, description="The question or keywords."),
            OpenApiParameter("k", int, description="Hits a page, 1 to 100; 10 by default."),
            OpenApiParameter("mode", str, enum=[mode.value for mode in SearchMode]),
            OpenApiParameter("sort", str, enum=["relevance", "date"]),
            OpenApiParameter("cursor", str, description="`next` of the page before."),
            *(OpenApiParameter(name, str, many=True, description="Only these; repeat it for several.") for name in _LISTS),
            OpenApiParameter("since", str, description="First day, YYYY-MM-DD."),
            OpenApiParameter("until", str, description="Last day, YYYY-MM-DD."),
            OpenApiParameter("month", str, description="One month of the archive, YYYY-MM."),
            OpenApiParameter("group", str, enum=["document", "passage"], description="`document`: the best passage of each document only."),
        ],
    )
    def get(self, request: Request, kb: str) -> Response:
        """One page of hits, best or newest first, with what all hits can be narrowed by."""
        _base, scope = searched(request, kb)
        search = read_search(request.query_params)
        encoded = None if search.mode is SearchMode.LEXICAL else encode_search(search, scope)
        return Response(search_in_turn(search, encoded, scope))


class ArchiveView(APIView):
    """The documents of a knowledge base without a question."""

    @extend_schema(
        responses=ArchivePageSchema,
        summary="Browse documents",
        tags=["search"],
        parameters=[
            OpenApiParameter("k", int, description="Documents a page, 1 to 100; 10 by default."),
            OpenApiParameter("cursor", str, description="`next` of the page before."),
            *(OpenApiParameter(name, str, many=True, description="Only these; repeat it for several.") for name in _LISTS),
            OpenApiParameter("since", str, description="First day, YYYY-MM-DD."),
            OpenApiParameter("until", str, description="Last day, YYYY-MM-DD."),
            OpenApiParameter("month", str, description="One month of the archive, YYYY-MM."),
        ],
    )
    def get(self, request: Request, kb: str) -> Response:
        """One page, newest first, with how many documents there are of each month, category, tag, language and author."""
        _base, scope = searched(request, kb)
        return Response(archive_page(read_browse(request.query_params), scope))


def searched(request: Request, slug: str) -> tuple[KnowledgeBase, Scope]:
    """The base and what the caller may see of it. What nobody signed in for counts against the limit of an address."""
    caller = caller_of(request)
    base = searchable_kb(slug, caller)
    if caller.anonymous:
        take_request(Account(caller=caller, model=f"search {base.slug}", address=request.META.get("REMOTE_ADDR", "")))
    return base, readable_scope(base, caller)


class ExplainSearchView(APIView):
    """Why documents are found, for who curates them."""

    @extend_schema(
        responses={200: OpenApiTypes.OBJECT},
        summary="Explain a search",
        tags=["search"],
        parameters=[
            OpenApiParameter("q", str, required=True, description="The question or keywords; filters and mode as in a search."),
            OpenApiParameter("document", str, description="The id of a document: why is it where it is, or not there at all?"),
            OpenApiParameter("groups", str, many=True, description="Explain what a person of these groups finds."),
        ],
    )
    def get(self, request: Request, kb: str) -> Response:
        """The first hits with their parts, and the place of the document named or the rule that keeps it out."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        search = read_search(request.query_params)
        groups = request.query_params.getlist("groups")
        scope = scope_of([base], groups=tuple(groups) if groups else None)
        encoded = encode_search(search, scope)
        return Response(explain_search(search, encoded, base, scope, clean_text(request.query_params.get("document", ""))))
