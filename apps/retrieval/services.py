"""What can be done to knowledge bases as such."""

from __future__ import annotations

from apps.accounts.audit import record
from apps.accounts.permissions import Caller
from apps.retrieval.models import KnowledgeBase
from core.errors import InvalidRequest
from core.types import Locale


def create_kb(*, slug: str, name: str, locale: Locale, caller: Caller, description: str = "") -> KnowledgeBase:
    """A new, empty knowledge base. Raises InvalidRequest where the slug is taken."""
    if KnowledgeBase.objects.filter(slug=slug).exists():
        raise InvalidRequest(f"There is a knowledge base {slug!r} already.", field="slug")
    kb = KnowledgeBase.objects.create(slug=slug, name=name[:160], locale=locale.value, description=description)
    record(caller, "create_kb", target=slug, kb=slug)
    return kb
