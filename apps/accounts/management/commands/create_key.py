"""`manage.py create_key NAME --role R`: a key for programs, printed alone on the last line; it cannot be shown again."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser

from apps.accounts.audit import record
from apps.accounts.commands import WenluCommand, command_caller
from apps.accounts.keys import create_key
from apps.accounts.models import ApiKey
from apps.accounts.permissions import AccessRole


class Command(WenluCommand):
    """Makes an API key."""

    help = "Makes an API key and prints it alone on the last line. Only its digest is stored: it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what the key is for; each name once")
        parser.add_argument(
            "--role", required=True, choices=[role.value for role in AccessRole], help="what the key may do, from most to least"
        )
        parser.add_argument("--kb", help="slug of the only knowledge base where it holds; without it the role holds everywhere")
        parser.add_argument("--bot", help="slug of the only bot that the key may ask; it may do nothing else")

    def handle(self, *args: object, **options: Any) -> None:
        name = options["name"].strip()
        if not 0 < len(name) <= 120:
            raise CommandError("A name has 1 to 120 characters.")
        if options["kb"] and options["bot"]:
            raise CommandError("Give --kb or --bot, not both: a key for one bot may do nothing but ask it.")
        if ApiKey.objects.filter(name=name).exists():
            raise CommandError(f"There is a key {name!r} already: take another name, or revoke and delete it in the panel.")
        kb_id, bot_id = _pk_of("retrieval.KnowledgeBase", options["kb"]), _pk_of("dialogue.Bot", options["bot"])
        _, text = create_key(name=name, role=AccessRole(options["role"]), kb_id=kb_id, bot_id=bot_id)
        record(command_caller("create_key"), "create_key", target=name, kb=options["kb"] or "")
        self.stderr.write("Keep it now: it cannot be shown again.")
        self.stdout.write(text)


def _pk_of(model: str, slug: str | None) -> int | None:
    """The primary key of what a slug names. By the model's name: accounts lie below everything else and import none of it."""
    if slug is None:
        return None
    found = apps.get_model(model).objects.filter(slug=slug).values_list("pk", flat=True).first()
    if found is None:
        raise CommandError(f"There is no {model.rpartition('.')[2]} {slug!r}.")
    return int(found)
