"""`manage.py create_bot SLUG --kb K`: a new bot that answers from one or more knowledge bases."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from apps.accounts.commands import WenluCommand, check_slug, command_caller
from apps.dialogue.services import create_bot
from apps.retrieval.selectors import kb_named


class Command(WenluCommand):
    """Makes a bot."""

    help = "Makes a new bot that answers from one or more knowledge bases."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="its name in addresses and commands: letters, digits, - and _")
        parser.add_argument(
            "--kb",
            required=True,
            action="append",
            metavar="K",
            help="slug of a knowledge base that it answers from; may be given several times",
        )
        parser.add_argument("--name", help="its name for people; without it the slug")
        parser.add_argument("--public", action="store_true", help="anybody may ask it, without a key or an account")

    def handle(self, *args: object, **options: Any) -> None:
        slug = check_slug(options["slug"])
        kbs = [kb_named(name) for name in dict.fromkeys(options["kb"])]
        create_bot(slug=slug, name=(options["name"] or slug)[:160], kbs=kbs, caller=command_caller("create_bot"), public=options["public"])
        self.stdout.write(f"Bot {slug} is there, answering from {', '.join(kb.slug for kb in kbs)}.")
