"""The routes for asking, below /api/v1/."""

from django.urls import path

from apps.dialogue import api

urlpatterns = [
    path("bots/<slug:bot>/ask", api.AskView.as_view(), name="ask"),
    path("conversations/<str:conversation>", api.ConversationView.as_view(), name="conversation"),
    path("turns/<str:turn>/feedback", api.FeedbackView.as_view(), name="feedback"),
    path("turns/<str:turn>/documents", api.TurnDocumentsView.as_view(), name="turn-documents"),
    path("turns/<str:turn>/explain", api.ExplainView.as_view(), name="explain"),
]
