"""The addresses of sockets."""

from django.urls import path

from apps.dialogue.consumers import ChatConsumer
from apps.serving.jobs.consumer import JobsConsumer

websocket_urlpatterns = [
    path("ws/bots/<slug:bot>/", ChatConsumer.as_asgi()),
    path("ws/jobs/", JobsConsumer.as_asgi()),
]
