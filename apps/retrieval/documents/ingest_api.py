"""The HTTP routes for what became of ingestions, and for what a knowledge base keeps out."""

from __future__ import annotations

from collections.abc import Mapping

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Permission
from apps.retrieval.curation.curation_api import object_of, refuse_unknown_fields
from apps.retrieval.documents.gone import Gone
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.documents.policies import CHOICES, MAX_MIN_CHARS, MAX_WORD_CHARS, MAX_WORDS, SWITCHES, save_policy
from apps.retrieval.documents.screening import policy_of
from apps.retrieval.jobs_api import JobSchema, response_of
from apps.retrieval.models import Ingestion, IngestPolicy
from apps.retrieval.selectors import kb_for
from apps.retrieval.sites.site_jobs import MAX_URLS, queue_addresses
from apps.serving.jobs.files import MAX_FILES
from core.errors import InvalidRequest, NotFound
from core.types import JSONDict

SHOWN_RUNS = 50


class IngestionSchema(serializers.ModelSerializer):
    """One run without its items."""

    class Meta:
        model = Ingestion
        fields = [
            "id",
            "actor",
            "started_at",
            "finished_at",
            "created",
            "updated",
            "unchanged",
            "bad",
            "dropped",
            "noted",
            "codes",
            "error",
        ]


class ReportItemSchema(serializers.Serializer):
    place = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["bad", "dropped", "noted"])
    code = serializers.CharField()
    reason = serializers.CharField()


class IngestionReportSchema(IngestionSchema):
    """One run with the sources that were not simply taken."""

    items = ReportItemSchema(many=True)

    class Meta(IngestionSchema.Meta):
        fields = [*IngestionSchema.Meta.fields, "items"]


class IngestionPageSchema(serializers.Serializer):
    results = IngestionSchema(many=True)


class IngestPolicySchema(serializers.Serializer):
    """What a knowledge base keeps out; `blocked_words` count once `block_words` is on."""

    duplicates = serializers.ChoiceField(choices=IngestPolicy.Duplicates.choices)
    near_duplicates = serializers.ChoiceField(choices=IngestPolicy.Duplicates.choices)
    repair_encoding = serializers.BooleanField()
    drop_poor = serializers.BooleanField()
    drop_site_lines = serializers.BooleanField()
    min_chars = serializers.IntegerField(min_value=0, max_value=MAX_MIN_CHARS)
    block_words = serializers.BooleanField()
    blocked_words = serializers.ListField(child=serializers.CharField(max_length=MAX_WORD_CHARS), max_length=MAX_WORDS)


def policy_as_dict(policy: IngestPolicy) -> JSONDict:
    """The policy as the API gives it."""
    named = {name: getattr(policy, name) for name in (*CHOICES, *SWITCHES, "min_chars")}
    return {**named, "blocked_words": policy.blocked_words.splitlines()}


class UploadSchema(serializers.Serializer):
    """Files to read: documents, jsonl files of rows, zip archives of them."""

    files = serializers.ListField(child=serializers.FileField(), max_length=MAX_FILES)


class AddressesSchema(serializers.Serializer):
    """Pages and sitemaps to fetch, and what becomes of documents whose page is gone."""

    urls = serializers.ListField(child=serializers.CharField(max_length=2000), min_length=1, max_length=MAX_URLS)
    gone = serializers.ChoiceField(choices=[gone.value for gone in Gone], default=Gone.KEEP.value)


class IngestionListView(APIView):
    """The runs of a knowledge base."""

    parser_classes = (MultiPartParser, *APIView.parser_classes)

    @extend_schema(responses=IngestionPageSchema, summary="List ingestions", tags=["documents"])
    def get(self, request: Request, kb: str) -> Response:
        """The last fifty, newest first."""
        base = kb_for(kb, caller_of(request), Permission.READ)
        return Response({"results": IngestionSchema(Ingestion.objects.filter(kb=base).defer("items")[:SHOWN_RUNS], many=True).data})

    @extend_schema(
        request={"multipart/form-data": UploadSchema, "application/json": AddressesSchema},
        responses={202: JobSchema},
        summary="Read files or pages in the background",
        tags=["documents"],
    )
    def post(self, request: Request, kb: str) -> Response:
        """Queues a job that reads the files sent, or fetches the addresses named; the answer is the job, and `jobs/` tells how far it is."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        if (request.content_type or "").partition(";")[0].strip().lower() == "application/json":
            return response_of(queue_addresses(base, *_addresses(request.data), caller), status=202)
        files = [(file.name, file) for file in request.FILES.getlist("files")]
        return response_of(queue_files(base, files, caller), status=202)


class IngestionView(APIView):
    """One run."""

    @extend_schema(responses=IngestionReportSchema, summary="Read the report of an ingestion", tags=["documents"])
    def get(self, request: Request, kb: str, ingestion: int) -> Response:
        """The run with the sources that were bad, left out or noted, the first thousand of each."""
        base = kb_for(kb, caller_of(request), Permission.READ)
        run = Ingestion.objects.filter(kb=base, pk=ingestion).first() if ingestion < 2**63 else None
        if run is None:
            raise NotFound(f"No ingestion {ingestion} in this knowledge base.")
        return Response(IngestionReportSchema(run).data)


class IngestPolicyView(APIView):
    """What a knowledge base keeps out."""

    @extend_schema(responses=IngestPolicySchema, summary="Read the ingest policy", tags=["documents"])
    def get(self, request: Request, kb: str) -> Response:
        """The policy in force."""
        return Response(policy_as_dict(policy_of(kb_for(kb, caller_of(request), Permission.READ))))

    @extend_schema(
        request=IngestPolicySchema(partial=True), responses=IngestPolicySchema, summary="Change the ingest policy", tags=["documents"]
    )
    def patch(self, request: Request, kb: str) -> Response:
        """Changes the parts given; the next ingestion goes by them."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.PUBLISH)
        return Response(policy_as_dict(save_policy(base, object_of(request), caller)))


def _addresses(data: object) -> tuple[list[str], Gone]:
    """The addresses of a body, and what becomes of documents whose page is gone."""
    if not isinstance(data, Mapping) or not isinstance(urls := data.get("urls"), list):
        raise InvalidRequest("The body must be a JSON object with `urls`, a list of addresses.", field="urls")
    refuse_unknown_fields(data, ("urls", "gone"))
    gone = data.get("gone", Gone.KEEP.value)
    if gone not in [one.value for one in Gone]:
        raise InvalidRequest(f"`gone` must be one of {', '.join(Gone)}.", field="gone")
    return urls, Gone(gone)
