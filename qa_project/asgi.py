"""The application that the web server runs: HTTP, static files and sockets."""

from __future__ import annotations

import os

import django

import core.native  # noqa: F401 - before anything imports numpy

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")
django.setup()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from servestatic import ServeStaticASGI  # noqa: E402

from apps.dialogue.routing import websocket_urlpatterns  # noqa: E402
from qa_project.lifespan import Lifespan  # noqa: E402
from qa_project.threads import ThreadedHandler  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": ServeStaticASGI(ThreadedHandler(), root=settings.STATIC_ROOT, prefix=settings.STATIC_URL, autorefresh=settings.DEBUG),
        "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        "lifespan": Lifespan(),
    }
)
