"""The HTTP routes for the jobs of a knowledge base: how far they are, to cancel one, to try a failed one again."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Permission
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.selectors import kb_for
from apps.serving.jobs.progress import as_dict, jobs_ahead
from apps.serving.jobs.services import cancel_job, retry_job
from apps.serving.models import Job
from core.errors import InvalidRequest, NotFound

SHOWN_JOBS = 100


class JobSchema(serializers.Serializer):
    """A job: `done` of `total` in bytes or pages, `eta_s` the seconds it will take or null, `ahead` how many of its base come before it."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=Job.State.choices)
    cancelling = serializers.BooleanField()
    step = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    percent = serializers.FloatField()
    eta_s = serializers.IntegerField(allow_null=True)
    ahead = serializers.IntegerField()
    actor = serializers.CharField()
    error = serializers.CharField(allow_blank=True)
    result = serializers.DictField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobPageSchema(serializers.Serializer):
    results = JobSchema(many=True)


class JobListView(APIView):
    """The jobs of a knowledge base."""

    @extend_schema(
        responses=JobPageSchema,
        summary="List jobs",
        tags=["jobs"],
        parameters=[OpenApiParameter("state", str, enum=Job.State.values)],
    )
    def get(self, request: Request, kb: str) -> Response:
        """The last hundred, newest first; of one `state` where that is given."""
        jobs = Job.objects.filter(kb=kb_for(kb, caller_of(request), Permission.READ))
        state = request.query_params.get("state")
        if state is not None and state not in Job.State.values:
            raise InvalidRequest(f"`state` must be one of {', '.join(Job.State.values)}.", field="state")
        shown = list((jobs.filter(state=state) if state else jobs)[:SHOWN_JOBS])
        ahead = jobs_ahead(shown)
        return Response({"results": [as_dict(job, ahead=ahead.get(job.pk, 0)) for job in shown]})


class JobView(APIView):
    """One job."""

    @extend_schema(responses=JobSchema, summary="Read a job", tags=["jobs"])
    def get(self, request: Request, kb: str, job: int) -> Response:
        """The job as it stands; `result.ingestion` is the id of its report."""
        return response_of(job_of(kb_for(kb, caller_of(request), Permission.READ), job))


class CancelJobView(APIView):
    """The end of a job before its time."""

    @extend_schema(request=None, responses=JobSchema, summary="Cancel a job", tags=["jobs"])
    def post(self, request: Request, kb: str, job: int) -> Response:
        """Ends a job that waits at once, one that runs within seconds, and gives a failed one up; what is in already stays. One that is done stays as it is."""
        caller = caller_of(request)
        return response_of(cancel_job(job_of(kb_for(kb, caller, Permission.READ), job), caller))


class RetryJobView(APIView):
    """Another try of a failed job."""

    @extend_schema(request=None, responses=JobSchema, summary="Try a failed job again", tags=["jobs"])
    def post(self, request: Request, kb: str, job: int) -> Response:
        """Queues it again; it goes on where it ended."""
        caller = caller_of(request)
        return response_of(retry_job(job_of(kb_for(kb, caller, Permission.READ), job), caller))


def job_of(kb: KnowledgeBase, pk: int) -> Job:
    """The job of this number in the knowledge base. Raises NotFound."""
    job = Job.objects.filter(kb=kb, pk=pk).first() if pk < 2**63 else None
    if job is None:
        raise NotFound(f"No job {pk} in this knowledge base.")
    return job


def response_of(job: Job, status: int = 200) -> Response:
    """The job as every route gives it."""
    return Response(as_dict(job, ahead=jobs_ahead([job]).get(job.pk, 0)), status=status)
