"""The routes for curating and searching documents, below /api/v1/."""

from django.urls import path

from apps.retrieval import jobs_api as jobs
from apps.retrieval.documents import api as documents
from apps.retrieval.documents import ingest_api
from apps.retrieval.search import api as search
from apps.retrieval.summaries import api as summaries

urlpatterns = [
    path("kbs/<slug:kb>/documents/", documents.DocumentListView.as_view(), name="documents"),
    path("kbs/<slug:kb>/documents/<path:document>/summary", summaries.DocumentSummaryView.as_view(), name="document-summary"),
    path("kbs/<slug:kb>/documents/<path:document>/", documents.DocumentView.as_view(), name="document"),
    path("kbs/<slug:kb>/passages/", documents.PassageListView.as_view(), name="passages"),
    path("kbs/<slug:kb>/passages/<int:passage>/questions/", documents.PassageQuestionsView.as_view(), name="passage-questions"),
    path("kbs/<slug:kb>/ingestions/", ingest_api.IngestionListView.as_view(), name="ingestions"),
    path("kbs/<slug:kb>/ingestions/<int:ingestion>/", ingest_api.IngestionView.as_view(), name="ingestion"),
    path("kbs/<slug:kb>/ingest-policy/", ingest_api.IngestPolicyView.as_view(), name="ingest-policy"),
    path("kbs/<slug:kb>/jobs/", jobs.JobListView.as_view(), name="jobs"),
    path("kbs/<slug:kb>/jobs/<int:job>/", jobs.JobView.as_view(), name="job"),
    path("kbs/<slug:kb>/jobs/<int:job>/cancel", jobs.CancelJobView.as_view(), name="cancel-job"),
    path("kbs/<slug:kb>/jobs/<int:job>/retry", jobs.RetryJobView.as_view(), name="retry-job"),
    path("kbs/<slug:kb>/search", search.SearchView.as_view(), name="search"),
    path("kbs/<slug:kb>/search/summary", summaries.SearchSummaryView.as_view(), name="search-summary"),
    path("kbs/<slug:kb>/archive", search.ArchiveView.as_view(), name="archive"),
    path("kbs/<slug:kb>/search/explain", search.ExplainSearchView.as_view(), name="explain-search"),
]
