"""What does a document look like on the way in? One checked row for the API, the panel, jsonl files and parsed files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from apps.retrieval.models import Document
from apps.retrieval.rows.row_fields import choice_of, day_of, line_of, lines_of, text_of
from core.errors import InvalidRequest
from core.text import clean_text
from core.types import JSONDict

MAX_TEXT_CHARS = 2_000_000
MAX_ID_CHARS = 200
MAX_TAGS = 50
READABLE = ("id", "title", "text", "date", "url", "tags", "category", "author", "language", "access", "status")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRow:
    """One document, checked. `id` None makes a new one; `status` None leaves it to the caller's role, `language` "" is guessed."""

    id: str | None
    text: str
    title: str = ""
    url: str = ""
    media_type: str = ""
    language: str = ""
    author: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    date: date | None = None
    status: str | None = None

    def as_dict(self) -> JSONDict:
        """The row as the API and jsonl files carry it."""
        return {
            "id": self.id,
            "title": self.title,
            "text": self.text,
            "url": self.url,
            "language": self.language,
            "author": self.author,
            "category": self.category,
            "tags": list(self.tags),
            "access": list(self.access),
            "date": self.date.isoformat() if self.date else None,
            "status": self.status,
        }


def parse_document(data: object) -> DocumentRow:
    """Checks one row. Raises InvalidRequest that says which field, what is wrong and what would be right."""
    if not isinstance(data, Mapping):
        raise InvalidRequest("A document is an object with `text`.")
    return DocumentRow(
        id=document_id(data.get("id")),
        text=text_of(data, "text", MAX_TEXT_CHARS),
        title=line_of(data, "title", 500),
        url=_url(data),
        language=_language(data),
        author=line_of(data, "author", 200),
        category=line_of(data, "category", 120),
        tags=lines_of(data, "tags", most=MAX_TAGS, most_chars=120),
        access=lines_of(data, "access", most=MAX_TAGS, most_chars=120),
        date=day_of(data, "date"),
        status=choice_of(data, "status", Document.Status.values),
    )


def document_id(value: object) -> str | None:
    """The id, None where there is none: any visible characters, so that paths and addresses are ids."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS or value != clean_text(value):
        raise InvalidRequest(f"`id` must be 1 to {MAX_ID_CHARS} visible characters on one line.", field="id")
    return value


def _url(data: Mapping[str, object]) -> str:
    """An address that may stand in a link: http and https only, since others can carry script."""
    url = line_of(data, "url", 2000)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if url and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise InvalidRequest("`url` must begin with http:// or https://.", field="url")
    return url


def _language(data: Mapping[str, object]) -> str:
    language = line_of(data, "language", 8)
    if language and not _LANGUAGE.fullmatch(language):
        raise InvalidRequest("`language` must be a code such as zh or en.", field="language")
    return language.lower()
