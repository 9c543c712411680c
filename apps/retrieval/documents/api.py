"""The HTTP routes for curating documents and the questions that their passages answer; the same services as everywhere."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.curation.curation_api import ContentListView, ContentView, PageSchema, list_parameters, object_of
from apps.retrieval.curation.pages import limit_of
from apps.retrieval.documents.drafts import row_of
from apps.retrieval.documents.editing import edited
from apps.retrieval.documents.passage_questions import parse_questions, save_questions
from apps.retrieval.documents.readings import draft_of, reading_of_row
from apps.retrieval.documents.rows import MAX_TEXT_CHARS, READABLE, parse_document
from apps.retrieval.documents.selectors import document_of, documents_of, passage_of, passages_of
from apps.retrieval.documents.services import SavedDocuments, delete_documents, keep_archived, save_documents
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.selectors import kb_for
from core.errors import InvalidRequest
from core.types import JSONDict

KNOWN = (*READABLE, "media_type", "created_at", "updated_at")


class DocumentSummarySchema(serializers.Serializer):
    """A document without its text."""

    id = serializers.CharField(required=False, max_length=200)
    title = serializers.CharField(required=False, max_length=500, allow_blank=True)
    url = serializers.CharField(required=False, max_length=2000, allow_blank=True)
    language = serializers.CharField(required=False, max_length=8, allow_blank=True)
    author = serializers.CharField(required=False, max_length=200, allow_blank=True)
    category = serializers.CharField(required=False, max_length=120, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=120), required=False, max_length=50)
    access = serializers.ListField(child=serializers.CharField(max_length=120), required=False, max_length=50)
    date = serializers.DateField(required=False, allow_null=True)
    status = serializers.ChoiceField(choices=Document.Status.choices, required=False)
    media_type = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class DocumentSchema(DocumentSummarySchema):
    """A document on the wire, for the OpenAPI description; `apps.retrieval.documents.rows` does the checking."""

    text = serializers.CharField(max_length=MAX_TEXT_CHARS)


class DocumentPageSchema(PageSchema):
    results = DocumentSummarySchema(many=True)


class PassageSchema(serializers.Serializer):
    """A passage: `start` and `end` are offsets in the document's text, the section is what stands around it."""

    id = serializers.IntegerField()
    document = serializers.CharField()
    number = serializers.IntegerField()
    text = serializers.CharField()
    heading = serializers.CharField(allow_blank=True)
    page = serializers.IntegerField(allow_null=True)
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    section_start = serializers.IntegerField()
    section_end = serializers.IntegerField()
    questions = serializers.ListField(child=serializers.CharField())


class PassagePageSchema(PageSchema):
    results = PassageSchema(many=True)


class QuestionsSchema(serializers.Serializer):
    questions = serializers.ListField(child=serializers.CharField(max_length=500), max_length=100)


def summary(document: Document) -> JSONDict:
    """The document as lists give it."""
    row = row_of(document, text="").as_dict()
    del row["text"]
    return row | {
        "media_type": document.media_type,
        "created_at": document.created_at.isoformat(),
        "updated_at": document.updated_at.isoformat(),
    }


def as_dict(document: Document) -> JSONDict:
    """The document as the API gives it."""
    return {**summary(document), "text": document.text}


def passage_as_dict(passage: Passage, document: Document) -> JSONDict:
    """The passage as the API gives it."""
    return {
        "id": passage.pk,
        "document": document.external_id,
        "number": passage.number,
        "text": passage.text,
        "heading": passage.heading,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "section_start": passage.section_start,
        "section_end": passage.section_end,
        "questions": [question.text for question in sorted(passage.questions.all(), key=lambda question: question.pk)],
    }


@extend_schema_view(
    get=extend_schema(
        responses=DocumentPageSchema,
        summary="List documents",
        tags=["documents"],
        description="One page without texts, newest change first; `next` is the cursor of the following one.",
        parameters=list_parameters("status", "category", "language", "author"),
    ),
    post=extend_schema(
        request=DocumentSchema,
        responses={201: DocumentSchema},
        summary="Add a document",
        tags=["documents"],
        description="Adds one document; it is found when this returns, if it is published.",
    ),
)
class DocumentListView(ContentListView[Document]):
    """All documents of a knowledge base."""

    filters = ("status", "category", "language", "author")
    known = KNOWN

    def rows(self, kb: KnowledgeBase, caller: Caller, *, text: str, **wanted: str) -> QuerySet[Document]:
        return documents_of(kb, caller, text=text, **wanted)

    def listed(self, item: Document) -> JSONDict:
        return summary(item)

    def add(self, kb: KnowledgeBase, data: object, caller: Caller) -> JSONDict:
        row = parse_document(data)
        if row.id and kb.documents.filter(external_id=row.id).exists():
            raise InvalidRequest(f"There is a document {row.id!r} already; change it with PUT or PATCH.", field="id")
        saved = save_documents(kb, [draft_of(reading_of_row(row))], caller)
        return as_dict(saved.documents[0])


@extend_schema_view(
    get=extend_schema(responses=DocumentSchema, summary="Read a document", tags=["documents"]),
    put=extend_schema(request=DocumentSchema, responses=DocumentSchema, summary="Replace a document", tags=["documents"]),
    patch=extend_schema(
        request=DocumentSchema(partial=True),
        responses=DocumentSchema,
        summary="Change a document",
        tags=["documents"],
        description="Changes the fields given. Where the text stays, nothing of it is encoded again.",
    ),
    delete=extend_schema(
        responses={204: None},
        summary="Delete a document",
        tags=["documents"],
        description="Deletes it with its passages; it is never found again.",
    ),
)
class DocumentView(ContentView[Document]):
    """One document."""

    kind = "document"
    known = KNOWN

    def find(self, kb: KnowledgeBase, id: str, caller: Caller) -> Document:
        return document_of(kb, id, caller)

    def given(self, item: Document) -> JSONDict:
        return as_dict(item)

    def fields(self, item: Document) -> JSONDict:
        return row_of(item).as_dict()

    def change(self, kb: KnowledgeBase, item: Document, fields: JSONDict, caller: Caller, *, stated: Collection[str]) -> Document:
        is_word = "status" in stated and fields["status"] == Document.Status.ARCHIVED

        def settle(saved: SavedDocuments) -> None:
            if is_word:
                keep_archived(saved.documents)

        return save_documents(kb, [edited(item, fields)], caller, along=settle).documents[0]

    def remove(self, kb: KnowledgeBase, item: Document, caller: Caller) -> None:
        delete_documents(kb, [item], caller)


class PassageListView(APIView):
    """The passages of a document."""

    @extend_schema(
        responses=PassagePageSchema,
        summary="List the passages of a document",
        tags=["documents"],
        parameters=[OpenApiParameter("document", str, required=True), OpenApiParameter("limit", int), OpenApiParameter("cursor", str)],
    )
    def get(self, request: Request, kb: str) -> Response:
        """One page in the order of the text."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.READ)
        document = document_of(base, request.query_params.get("document", ""), caller)
        limit, first = limit_of(request.query_params), _number(request.query_params.get("cursor", "0"))
        passages = list(passages_of(document).filter(number__gte=first)[: limit + 1])
        following = str(passages[limit].number) if len(passages) > limit else None
        results = [passage_as_dict(passage, document) for passage in passages[:limit]]
        return Response({"results": results, "total": document.passages.count(), "next": following})


class PassageQuestionsView(APIView):
    """The questions that a passage answers."""

    @extend_schema(request=QuestionsSchema, responses=PassageSchema, summary="Set a passage's questions", tags=["documents"])
    def put(self, request: Request, kb: str, passage: int) -> Response:
        """Replaces them all; each one finds the passage when this returns, if its document is published."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        stored = passage_of(base, passage)
        save_questions(base, stored, parse_questions(object_of(request).get("questions")), caller)
        return Response(passage_as_dict(passage_of(base, passage), stored.document))


def _number(text: str) -> int:
    if len(text) > 9 or not text.isascii() or not text.isdigit():
        raise InvalidRequest("`cursor` must be the `next` of an earlier page.", field="cursor")
    return int(text)
