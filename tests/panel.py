"""What do tests of the panel's pages share? The list of FAQs, and what a browser sends from their form."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from apps.faq.models import FAQ
from apps.faq.services import row_of

FAQ_LIST = "/admin/faq/faq/"
SignIn = Callable[..., Client]


def form_of(faq: FAQ, **changes: str) -> dict[str, str]:
    """What the browser sends when nothing but `changes` was typed."""
    row = row_of(faq)
    sent = {
        "phrasings": "\n".join(row.questions),
        "answer": faq.answer,
        "category": faq.category,
        "locale": faq.locale,
        "status": faq.status,
    }
    return {**sent, "seen_version": str(faq.version), **changes}


def ids_shown(client: Client, query: str = "") -> list[str]:
    """The external ids of the FAQs that the list shows, in its order."""
    return [faq.external_id for faq in client.get(f"{FAQ_LIST}?{query}").context["cl"].result_list]
