"""The HTTP routes for curating FAQs; the same rules as in the panel, since both use the same services."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from apps.accounts.permissions import Caller
from apps.faq.models import FAQ, FAQStatus
from apps.faq.raw_rows import READABLE
from apps.faq.rows import parse_row
from apps.faq.selectors import faq_of, faqs_of
from apps.faq.services import delete_faqs, row_of, save_faqs
from apps.retrieval.curation.curation_api import ContentListView, ContentView, PageSchema, list_parameters
from apps.retrieval.models import KnowledgeBase
from core.errors import InvalidRequest
from core.types import JSONDict

KNOWN = (*READABLE, "version", "created_at", "updated_at")


class FAQSchema(serializers.Serializer):
    """An FAQ on the wire, for the OpenAPI description; `apps.faq.rows` does the checking."""

    id = serializers.CharField(required=False, max_length=120)
    questions = serializers.ListField(child=serializers.CharField(max_length=2000), min_length=1, max_length=200)
    answer = serializers.CharField(max_length=100_000)
    category = serializers.CharField(required=False, max_length=120, allow_blank=True)
    locale = serializers.ChoiceField(choices=["zh", "en"], required=False)
    valid_from = serializers.DateTimeField(required=False, allow_null=True)
    valid_until = serializers.DateTimeField(required=False, allow_null=True)
    status = serializers.ChoiceField(choices=FAQStatus.choices, required=False)


class StoredFAQSchema(FAQSchema):
    """An FAQ as it is given back."""

    version = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class FAQPageSchema(PageSchema):
    results = StoredFAQSchema(many=True)


def as_dict(faq: FAQ) -> JSONDict:
    """The FAQ as the API gives it."""
    return {
        **row_of(faq).as_dict(),
        "version": faq.version,
        "created_at": faq.created_at.isoformat(),
        "updated_at": faq.updated_at.isoformat(),
    }


@extend_schema_view(
    get=extend_schema(
        responses=FAQPageSchema, summary="List FAQs", tags=["faqs"], parameters=list_parameters("status", "category", "locale")
    ),
    post=extend_schema(
        request=FAQSchema,
        responses={201: StoredFAQSchema},
        summary="Add an FAQ",
        tags=["faqs"],
        description="Adds one FAQ; it answers when this returns, if it is published.",
    ),
)
class FAQListView(ContentListView[FAQ]):
    """All FAQs of a knowledge base."""

    filters = ("status", "category", "locale")
    known = KNOWN

    def rows(self, kb: KnowledgeBase, caller: Caller, *, text: str, **wanted: str) -> QuerySet[FAQ]:
        return faqs_of(kb, text=text, **wanted)

    def listed(self, item: FAQ) -> JSONDict:
        return as_dict(item)

    def add(self, kb: KnowledgeBase, data: object, caller: Caller) -> JSONDict:
        row = parse_row(data)
        if row.id and kb.faqs.filter(external_id=row.id).exists():
            raise InvalidRequest(f"There is an FAQ {row.id!r} already; change it with PUT or PATCH.", field="id")
        saved = save_faqs(kb, [row], caller)
        return as_dict(faq_of(kb, saved.faqs[0].external_id))


@extend_schema_view(
    get=extend_schema(responses=StoredFAQSchema, summary="Read an FAQ", tags=["faqs"]),
    put=extend_schema(request=FAQSchema, responses=StoredFAQSchema, summary="Replace an FAQ", tags=["faqs"]),
    patch=extend_schema(request=FAQSchema(partial=True), responses=StoredFAQSchema, summary="Change an FAQ", tags=["faqs"]),
    delete=extend_schema(responses={204: None}, summary="Delete an FAQ", tags=["faqs"], description="Deletes it; it never answers again."),
)
class FAQView(ContentView[FAQ]):
    """One FAQ."""

    kind = "faq"
    known = KNOWN

    def find(self, kb: KnowledgeBase, id: str, caller: Caller) -> FAQ:
        return faq_of(kb, id)

    def given(self, item: FAQ) -> JSONDict:
        return as_dict(item)

    def fields(self, item: FAQ) -> JSONDict:
        return row_of(item).as_dict()

    def change(self, kb: KnowledgeBase, item: FAQ, fields: JSONDict, caller: Caller, *, stated: Collection[str]) -> FAQ:
        save_faqs(kb, [parse_row({**fields, "id": item.external_id})], caller)
        return faq_of(kb, item.external_id)

    def remove(self, kb: KnowledgeBase, item: FAQ, caller: Caller) -> None:
        delete_faqs(kb, [item], caller)
