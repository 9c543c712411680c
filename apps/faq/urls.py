"""The routes for curating FAQs, below /api/v1/."""

from django.urls import path

from apps.faq import api

urlpatterns = [
    path("kbs/<slug:kb>/faqs/", api.FAQListView.as_view(), name="faqs"),
    path("kbs/<slug:kb>/faqs/<str:faq>/", api.FAQView.as_view(), name="faq"),
]
