"""The OpenAI-compatible routes, below /v1/."""

from django.urls import path

from apps.dialogue.openai import api

urlpatterns = [
    path("chat/completions", api.ChatCompletionsView.as_view(), name="openai-chat"),
    path("embeddings", api.EmbeddingsView.as_view(), name="openai-embeddings"),
    path("models", api.ModelsView.as_view(), name="openai-models"),
    path("models/<str:model>", api.ModelView.as_view(), name="openai-model"),
]
