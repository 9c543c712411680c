"""Puts documents into a knowledge base for tests."""

from __future__ import annotations

from datetime import date
from typing import Any

from apps.accounts.permissions import AccessRole, Caller
from apps.retrieval.documents.readings import draft_of, reading_of_row
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import Document, KnowledgeBase

WRITER = Caller(name="user:1", role=AccessRole.ADMIN)


def put_documents(kb: KnowledgeBase, **texts: str) -> dict[str, Document]:
    """Documents by their ids, published, with their text alone."""
    return {document.external_id: document for document in (put_document(kb, id, text) for id, text in texts.items())}


def put_document(kb: KnowledgeBase, id: str, text: str, *, day: str = "", **fields: Any) -> Document:
    """One document; `day` is its date as YYYY-MM-DD."""
    row = DocumentRow(id=id, text=text, date=date.fromisoformat(day) if day else None, **fields)
    return save_documents(kb, [draft_of(reading_of_row(row))], WRITER).documents[0]
