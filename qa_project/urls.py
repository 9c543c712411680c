"""Which address leads where."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from apps.dialogue.pages import chat_page
from apps.retrieval.search.admin_explain import explain_page
from apps.retrieval.search.pages import document_view, search_home, search_view
from apps.serving.jobs.panel import jobs_page
from apps.serving.panel import models_page
from qa_project import health

urlpatterns = [
    path("", chat_page, name="chat"),
    path("search/", search_home, name="search-home"),
    path("search/<slug:kb>/", search_view, name="search-page"),
    path("search/<slug:kb>/documents/<path:document>/", document_view, name="search-document"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("apps.dialogue.urls")),
    path("api/v1/", include("apps.faq.urls")),
    path("api/v1/", include("apps.retrieval.urls")),
    path("v1/", include("apps.dialogue.openai.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/serving/jobs/", admin.site.admin_view(jobs_page), name="jobs-page"),
    path("admin/serving/models/", admin.site.admin_view(models_page), name="models"),
    path("admin/retrieval/explain/<slug:kb>/", admin.site.admin_view(explain_page), name="search-explain-page"),
    path("admin/", admin.site.urls),
]

handler400 = "qa_project.errors.bad_request"
handler404 = "qa_project.errors.not_found"
handler500 = "qa_project.errors.server_error"
