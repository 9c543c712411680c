"""How does a server start from nothing? One process prepares the data folder and then serves, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from types import FrameType

import uvicorn
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from core.config import Settings, get_settings

log = logging.getLogger(__name__)

WS_MAX_BYTES = 2**20
GRACE_S = 5


class Command(BaseCommand):
    """`manage.py serve`."""

    help = "Prepares the data folder (tables, models, static files, demo, first user) and serves until SIGTERM or Ctrl-C."
    requires_system_checks: Sequence[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One flag: what `make stack` prepares once, its web processes need not repeat."""
        parser.add_argument(
            "--no-prepare", action="store_true", help="Serve at once: no migration, model, static files, demo or first user."
        )

    def handle(self, *, no_prepare: bool, **options: object) -> None:
        """Prepares, serves, and ends with status 0 when asked to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        listener = bind(get_settings())
        if not no_prepare:
            call_command("prepare")
        status = serve_until_asked(AnnouncingServer(uvicorn_config(get_settings())), listener)
        end_process(status)


class AnnouncingServer(uvicorn.Server):
    """Says where it can be reached, once it can."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen and prints the address."""
        await super().startup(sockets)
        if self.started:
            address = f"http://{_shown(self.config.host)}:{self.config.port}"
            print(f"\n  问路 Wenlu answers at {address}/  (administration: {address}/admin/)\n  Ctrl-C ends it.\n", flush=True)


def serve_until_asked(server: uvicorn.Server, listener: socket.socket) -> int:
    """Serves until a signal ends it. Returns the exit status: 0 for an asked stop, uvicorn's own where it cannot start."""
    try:
        server.run(sockets=[listener])
    except SystemExit as end:  # from `_leave`, which uvicorn calls once everything is closed, or from a failed start
        return end.code if isinstance(end.code, int) else 1
    return 0


def end_process(status: int) -> None:
    """Ends at once. The lifespan has closed what must be closed; taking torch apart in order would take seconds more."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def uvicorn_config(qa: Settings) -> uvicorn.Config:
    """How the web server runs: the fast parser and loop, whole responses, small frames, few seconds to finish what is under way."""
    return uvicorn.Config(
        "qa_project.asgi:application",
        host=qa.host,
        port=qa.port,
        loop="uvloop",
        http="qa_project.http_protocol:JoiningProtocol",
        ws="websockets-sansio",
        ws_max_size=WS_MAX_BYTES,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def bind(qa: Settings) -> socket.socket:
    """A socket bound to the address of the settings, before minutes go into anything else. Raises CommandError where it is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in qa.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((qa.host, qa.port))
    except OSError as error:
        listener.close()
        raise CommandError(f"Cannot listen at {qa.host}:{qa.port}: {error.strerror}. Choose another with QA_PORT or QA_HOST.") from error
    return listener


def _shown(host: str) -> str:
    """The host as a browser on this machine would write it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends the process with status 0: stopping was asked for, so it is no failure."""
    sys.exit(0)
