"""The addresses of sockets."""

from django.urls import path

from apps.dialogue.consumers import ChatConsumer

websocket_urlpatterns = [path("ws/bots/<slug:bot>/", ChatConsumer.as_asgi())]
