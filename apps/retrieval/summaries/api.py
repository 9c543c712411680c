"""The HTTP routes for summaries of documents and of search results."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.selectors import document_of
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.rows.row_fields import count_of
from apps.retrieval.search.api import searched
from apps.retrieval.search.page import encode_search
from apps.retrieval.search.params import Params, read_search
from apps.retrieval.summaries.asking import writer_for
from apps.retrieval.summaries.documents import summarize_document
from apps.retrieval.summaries.results import summarize_results
from apps.retrieval.summaries.writing import By
from core.errors import InvalidRequest, NotFound
from core.types import SearchMode

DEFAULT_SENTENCES, MAX_SENTENCES = 4, 20


class SummarySentenceSchema(serializers.Serializer):
    """A sentence; `start` and `end` are offsets in the document's text: its own, or those of the `passage` that supports what was written."""

    text = serializers.CharField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    passage = serializers.IntegerField()
    heading = serializers.CharField(allow_blank=True)
    page = serializers.IntegerField(allow_null=True)


class SummaryOfDocumentSchema(serializers.Serializer):
    """A document's summary: `read` of its `passages` were looked at."""

    document = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    sentences = SummarySentenceSchema(many=True)
    by = serializers.ChoiceField(choices=[by.value for by in By])
    passages = serializers.IntegerField()
    read = serializers.IntegerField()
    degraded = serializers.BooleanField()


class ResultSentenceSchema(SummarySentenceSchema):
    document = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True)
    date = serializers.DateField(allow_null=True)


class SummaryOfResultsSchema(serializers.Serializer):
    """A summary of so many hits in so many documents."""

    query = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    sentences = ResultSentenceSchema(many=True)
    by = serializers.ChoiceField(choices=[by.value for by in By])
    hits = serializers.IntegerField()
    documents = serializers.IntegerField()
    degraded = serializers.BooleanField()


_BY = OpenApiParameter(
    "by",
    str,
    enum=[by.value for by in By],
    description="`generator`: written anew, each sentence checked; `extraction` (default): word for word.",
)
_COUNT = OpenApiParameter("sentences", int, description=f"How many at most, 1 to {MAX_SENTENCES}; {DEFAULT_SENTENCES} by default.")


class DocumentSummaryView(APIView):
    """What one document says."""

    @extend_schema(responses=SummaryOfDocumentSchema, summary="Summarize a document", tags=["documents"], parameters=[_COUNT, _BY])
    def get(self, request: Request, kb: str, document: str) -> Response:
        """A few of its own sentences in their order, or what a generator makes of them."""
        base, _scope = searched(request, kb)
        count, by = _count(request.query_params), _by(request.query_params)
        read = _readable(base, document, caller_of(request))
        return Response(summarize_document(read, count=count, write=writer_for(request, base, by)).as_dict())


class SearchSummaryView(APIView):
    """What the documents found for a question say."""

    @extend_schema(
        responses=SummaryOfResultsSchema,
        summary="Summarize search results",
        tags=["search"],
        parameters=[
            OpenApiParameter("q", str, required=True, description="The question or keywords; filters and mode as in a search."),
            OpenApiParameter("k", int, description="Hits that are read, 1 to 20; 10 by default."),
            _COUNT,
            _BY,
        ],
    )
    def get(self, request: Request, kb: str) -> Response:
        """A few sentences of the best hits, those of better hits first, or what a generator makes of them."""
        base, scope = searched(request, kb)
        search = read_search(request.query_params)
        count, by = _count(request.query_params), _by(request.query_params)
        write = writer_for(request, base, by)
        encoded = None if search.mode is SearchMode.LEXICAL else encode_search(search, scope)
        return Response(summarize_results(search, encoded, scope, count=count, write=write).as_dict())


def _readable(kb: KnowledgeBase, id: str, caller: Caller) -> Document:
    """The document, if a search of this caller could find it; else it looks as if it did not exist."""
    document = document_of(kb, id, caller)
    if caller.may(Permission.EDIT, kb.pk) or document.status == Document.Status.PUBLISHED:
        return document
    raise NotFound(f"No document {id[:200]!r} in this knowledge base.")


def _count(params: Params) -> int:
    return count_of(params.get("sentences", str(DEFAULT_SENTENCES)), "sentences", MAX_SENTENCES)


def _by(params: Params) -> By:
    try:
        return By(params.get("by", By.EXTRACTION.value))
    except ValueError as error:
        raise InvalidRequest(f"`by` must be one of {', '.join(By)}.", field="by") from error
