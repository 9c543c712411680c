"""`manage.py create_kb SLUG`: a new, empty knowledge base."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from apps.accounts.commands import WenluCommand, check_slug, command_caller
from apps.retrieval.services import create_kb
from core.types import Locale


class Command(WenluCommand):
    """Makes a knowledge base."""

    help = "Makes a new, empty knowledge base."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="its name in addresses and commands: letters, digits, - and _")
        parser.add_argument("--name", help="its name for people; without it the slug")
        parser.add_argument(
            "--locale", choices=[locale.value for locale in Locale], default=Locale.ZH.value, help="main language of its content"
        )

    def handle(self, *args: object, **options: Any) -> None:
        slug = check_slug(options["slug"])
        create_kb(slug=slug, name=options["name"] or slug, locale=Locale(options["locale"]), caller=command_caller("create_kb"))
        self.stdout.write(
            f"Knowledge base {slug} is there. Fill it with `manage.py import_faq --kb {slug} FILE` or `manage.py ingest --kb {slug} PATH`."
        )
