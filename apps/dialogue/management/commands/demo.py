"""`manage.py demo`: the help desk of an invented company in Chinese and English, to try everything on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.accounts.audit import record
from apps.accounts.commands import WenluCommand, command_caller
from apps.accounts.models import AuditEntry
from apps.dialogue.demo_documents import load_demo_documents
from apps.dialogue.models import Bot
from apps.dialogue.services import create_bot
from apps.faq.files import FileFormat
from apps.faq.imports import import_faqs
from apps.faq.models import FAQQuestion
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.services import create_kb
from core.errors import InvalidRequest
from core.types import Locale

BOT = "demo"
FOLDER = Path(__file__).resolve().parents[2] / "demo"
PARTS = ("employee", "customer")
BASES = {Locale.ZH: ("demo-zh", "澄川科技 · 服务台"), Locale.EN: ("demo-en", "Clearbrook · Help desk")}
GREETINGS = {
    "greeting_zh": "你好，我是澄川科技的服务台助手。产品、订单、售后，或者假期、报销、IT 的问题，都可以问我。",
    "greeting_en": "Hello, I am Clearbrook's help desk. Ask me about products, orders and repairs, or about leave, expenses and IT.",
}
OPENING = {
    Locale.ZH: ("leave-annual-days", "expense-payout-time", "a3-vs-a5", "filter-life-a5"),
    Locale.EN: ("leave-annual-days", "expense-payout-time", "a3-vs-a5", "filter-life-a5"),
}


class Command(WenluCommand):
    """Makes the demo."""

    help = (
        "Makes the demo: a public bot `demo` over two knowledge bases, `demo-zh` and `demo-en`. What was edited since the first time stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reset", action="store_true", help="give every demo FAQ and document its first wording back")

    def handle(self, *args: object, **options: Any) -> None:
        kbs = [self._base(locale, reset=options["reset"]) for locale in BASES]
        if not Bot.objects.filter(slug=BOT).exists():
            create_bot(
                slug=BOT, name="澄川科技 Clearbrook", kbs=kbs, caller=command_caller("demo"), public=True, **GREETINGS, **_openings()
            )
        self.stdout.write(f"The demo is there: bot {BOT}, knowledge bases {', '.join(kb.slug for kb in kbs)}.")

    def _base(self, locale: Locale, *, reset: bool) -> KnowledgeBase:
        slug, name = BASES[locale]
        caller = command_caller("demo")
        kb = KnowledgeBase.objects.filter(slug=slug).first() or create_kb(slug=slug, name=name, locale=locale, caller=caller)
        if reset or not _was_done("load_demo", kb):
            report = import_faqs(
                kb, io.BytesIO(_rows(locale)), name="demo", caller=caller, file_format=FileFormat.JSONL, locale=locale.value
            )
            if report.bad:
                raise InvalidRequest(f"Row {report.bad[0].row} of the {locale} demo: {report.bad[0].reason}")
            record(caller, "load_demo", target=slug, kb=slug)
            self.stdout.write(f"{slug}: {report.created} FAQs created, {report.updated} updated, {report.unchanged} unchanged.")
        if reset or not _was_done("load_demo_documents", kb):
            count = load_demo_documents(kb, locale, caller)
            record(caller, "load_demo_documents", target=slug, kb=slug)
            self.stdout.write(f"{slug}: {count} documents.")
        return kb


def _was_done(action: str, kb: KnowledgeBase) -> bool:
    return AuditEntry.objects.filter(action=action, kb_slug=kb.slug, at__gte=kb.created_at).exists()


def _rows(locale: Locale) -> bytes:
    return b"\n".join((FOLDER / f"faqs_{part}.{locale}.jsonl").read_bytes() for part in PARTS)


def _openings() -> dict[str, str]:
    """The first phrasing of each opening question, as the data has it."""
    lines: dict[str, str] = {}
    for locale, (slug, _) in BASES.items():
        firsts = dict(
            FAQQuestion.objects.filter(faq__kb__slug=slug, faq__external_id__in=OPENING[locale], position=0).values_list(
                "faq__external_id", "text"
            )
        )
        lines[f"suggestions_{locale}"] = "\n".join(firsts[key] for key in OPENING[locale] if key in firsts)
    return lines
