"""What do integration tests share? A knowledge base with something in it."""

from __future__ import annotations

import pytest

from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase


@pytest.fixture
def filled(kb: KnowledgeBase, admin_caller: object) -> KnowledgeBase:
    """`kb` with ten published FAQs of two phrasings."""
    rows = [parse_row({"id": f"{n}", "questions": [f"第{n}个问题", f"question {n}"], "answer": f"{n}"}) for n in range(10)]
    save_faqs(kb, rows, admin_caller)  # type: ignore[arg-type]
    return kb
