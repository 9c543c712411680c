"""What does the page of a document show of its passages? A page of them in order, each with the questions that find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator

from apps.accounts.permissions import Caller
from apps.retrieval.documents.passage_questions import MAX_QUESTION_CHARS, MAX_QUESTIONS, parse_questions, save_questions
from apps.retrieval.documents.selectors import passage_of, passages_of
from apps.retrieval.models import Document, Passage
from core.errors import NotFound

PASSAGES_A_PAGE = 20


def passages_shown(document: Document, page: str) -> dict[str, Any]:
    """One page of passages and what pages there are; a page that is none is the first or the last."""
    paginator = Paginator(passages_of(document), PASSAGES_A_PAGE)
    shown = paginator.get_page(page)
    return {
        "passages": shown,
        "pages": list(paginator.get_elided_page_range(shown.number, on_each_side=2, on_ends=1)),
        "most_questions": MAX_QUESTIONS,
        "most_chars": MAX_QUESTION_CHARS,
    }


def save_questions_of_form(document: Document, pk: int, sent: Mapping[str, str], caller: Caller) -> Passage:
    """Saves the lines of the form as the questions of this passage, which it returns. Raises QAError."""
    passage = passage_of(document.kb, pk)
    if passage.document_id != document.pk:
        raise NotFound("No such passage in this document.")
    lines = [line for line in sent.get("questions", "").splitlines() if line.strip()]
    save_questions(document.kb, passage, parse_questions(lines), caller)
    return passage
