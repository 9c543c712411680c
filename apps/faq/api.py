"""The HTTP routes for curating FAQs; the same rules as in the panel, since both use the same services."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Permission
from apps.faq.models import FAQ, FAQStatus
from apps.faq.rows import parse_row
from apps.faq.selectors import faq_of, faqs_of
from apps.faq.services import delete_faqs, row_of, save_faqs
from apps.retrieval.pages import Page, page_of
from apps.retrieval.selectors import kb_for
from core.errors import InvalidRequest
from core.types import JSONDict


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


class FAQPageSchema(serializers.Serializer):
    results = StoredFAQSchema(many=True)
    total = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)


def as_dict(faq: FAQ) -> JSONDict:
    """The FAQ as the API gives it."""
    return {
        **row_of(faq).as_dict(),
        "version": faq.version,
        "created_at": faq.created_at.isoformat(),
        "updated_at": faq.updated_at.isoformat(),
    }


class FAQListView(APIView):
    """All FAQs of a knowledge base."""

    @extend_schema(
        responses=FAQPageSchema,
        summary="List FAQs",
        tags=["faqs"],
        parameters=[OpenApiParameter(name, str) for name in ("status", "category", "locale", "q", "cursor")]
        + [OpenApiParameter("limit", int)],
    )
    def get(self, request: Request, kb: str) -> Response:
        """One page, newest change first; `next` is the cursor of the following one."""
        base = kb_for(kb, caller_of(request), Permission.READ)
        wanted = {name: request.query_params.get(name, "") for name in ("status", "category", "locale")}
        page: Page[FAQ] = page_of(faqs_of(base, text=request.query_params.get("q", ""), **wanted), request.query_params)
        return Response({"results": [as_dict(faq) for faq in page.items], "total": page.total, "next": page.next})

    @extend_schema(request=FAQSchema, responses={201: StoredFAQSchema}, summary="Add an FAQ", tags=["faqs"])
    def post(self, request: Request, kb: str) -> Response:
        """Adds one FAQ; it answers when this returns, if it is published."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        row = parse_row(request.data)
        if row.id and base.faqs.filter(external_id=row.id).exists():
            raise InvalidRequest(f"There is an FAQ {row.id!r} already; change it with PUT or PATCH.", field="id")
        saved = save_faqs(base, [row], caller)
        return Response(as_dict(faq_of(base, saved.faqs[0].external_id)), status=201)


class FAQView(APIView):
    """One FAQ."""

    @extend_schema(responses=StoredFAQSchema, summary="Read an FAQ", tags=["faqs"])
    def get(self, request: Request, kb: str, faq: str) -> Response:
        """The FAQ as it stands."""
        return Response(as_dict(faq_of(kb_for(kb, caller_of(request), Permission.READ), faq)))

    @extend_schema(request=FAQSchema, responses=StoredFAQSchema, summary="Replace an FAQ", tags=["faqs"])
    def put(self, request: Request, kb: str, faq: str) -> Response:
        """Replaces all fields."""
        return self._save(request, kb, faq, whole=True)

    @extend_schema(request=FAQSchema(partial=True), responses=StoredFAQSchema, summary="Change an FAQ", tags=["faqs"])
    def patch(self, request: Request, kb: str, faq: str) -> Response:
        """Changes the fields given."""
        return self._save(request, kb, faq, whole=False)

    @extend_schema(responses={204: None}, summary="Delete an FAQ", tags=["faqs"])
    def delete(self, request: Request, kb: str, faq: str) -> Response:
        """Deletes it; it never answers again."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        delete_faqs(base, [faq_of(base, faq)], caller)
        return Response(status=204)

    def _save(self, request: Request, kb: str, faq: str, *, whole: bool) -> Response:
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        stored = faq_of(base, faq)
        if not isinstance(request.data, dict):
            raise InvalidRequest("The body must be a JSON object.")
        row = parse_row({**({} if whole else row_of(stored).as_dict()), **request.data, "id": stored.external_id})
        save_faqs(base, [row], caller)
        return Response(as_dict(faq_of(base, faq)))
