"""What an FAQ looks like on the way in and out: one checked row for the API, the panel and every file format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from apps.faq.models import FAQStatus
from apps.retrieval.rows.row_fields import choice_of, line_of, text_of
from core.errors import InvalidRequest
from core.text import clean_text, normalize
from core.types import JSONDict, Locale

MAX_QUESTIONS = 200
MAX_QUESTION_CHARS = 2000
MAX_ANSWER_CHARS = 100_000
COLUMNS = ("id", "questions", "answer", "category", "locale", "valid_from", "valid_until", "status")
_ID = re.compile(r"[^\s/?#\\]{1,120}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FAQRow:
    """One FAQ, checked. `id` None makes a new one; `status` None leaves it to the caller's role."""

    id: str | None
    questions: tuple[str, ...]
    answer: str
    category: str = ""
    locale: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    status: str | None = None

    def as_dict(self) -> JSONDict:
        """The row as the API and JSONL files carry it."""
        return {
            "id": self.id,
            "questions": list(self.questions),
            "answer": self.answer,
            "category": self.category,
            "locale": self.locale,
            "valid_from": self.valid_from.isoformat() if self.valid_from else None,
            "valid_until": self.valid_until.isoformat() if self.valid_until else None,
            "status": self.status,
        }


def parse_row(data: object) -> FAQRow:
    """Checks one row. Raises InvalidRequest that says which field, what is wrong and what would be right."""
    if not isinstance(data, Mapping):
        raise InvalidRequest("An FAQ is an object with `questions` and `answer`.")
    valid_from, valid_until = _moment(data, "valid_from"), _moment(data, "valid_until", end=True)
    if valid_from and valid_until and valid_from >= valid_until:
        raise InvalidRequest("`valid_from` must be before `valid_until`.", field="valid_until")
    return FAQRow(
        id=_id(data.get("id")),
        questions=_questions(data),
        answer=text_of(data, "answer", MAX_ANSWER_CHARS),
        category=line_of(data, "category", 120),
        locale=choice_of(data, "locale", [locale.value for locale in Locale]),
        valid_from=valid_from,
        valid_until=valid_until,
        status=choice_of(data, "status", list(FAQStatus.values)),
    )


def _id(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _ID.fullmatch(value := value.strip()) or value != clean_text(value):
        raise InvalidRequest("`id` must be 1 to 120 visible characters without blanks, slashes, ? or #.", field="id")
    return value


def _questions(data: Mapping[str, object]) -> tuple[str, ...]:
    """All phrasings, the canonical one first, each once: from `questions` (a list, or lines of a cell) and `question`."""
    found: list[object] = []
    for name in ("question", "questions"):
        value = data.get(name)
        if isinstance(value, str):
            found += value.splitlines()
        elif isinstance(value, Sequence) and not isinstance(value, bytes):
            found += value
        elif value is not None:
            raise InvalidRequest(f"`{name}` must be text or a list of texts.", field=name)
    texts: dict[str, str] = {}
    for text in found:
        if not isinstance(text, str):
            raise InvalidRequest("Every question must be text.", field="questions")
        if len(cleaned := clean_text(text)) > MAX_QUESTION_CHARS:
            raise InvalidRequest(f"A question has {len(cleaned)} characters; at most {MAX_QUESTION_CHARS} are allowed.", field="questions")
        if cleaned:
            texts.setdefault(normalize(cleaned), cleaned)
    if not texts:
        raise InvalidRequest("At least one question is needed, in `questions` (or `question`).", field="questions")
    if len(texts) > MAX_QUESTIONS:
        raise InvalidRequest(f"{len(texts)} questions; at most {MAX_QUESTIONS} phrasings are allowed.", field="questions")
    return tuple(texts.values())


def _moment(data: Mapping[str, object], name: str, *, end: bool = False) -> datetime | None:
    """A date or date-time. A bare date begins its day, or ends it where it is an `end`; no zone means the server's."""
    value = data.get(name)
    if isinstance(value, str):
        value = value.strip().replace("/", "-")
    if value is None or value == "":
        return None
    try:
        parsed = value if isinstance(value, date) else (parse_datetime(str(value)) if len(str(value)) > 10 else parse_date(str(value)))
        parsed = _with_zone(parsed, end=end) if parsed else None
    except (ValueError, OverflowError):
        parsed = None
    if parsed is None:
        raise InvalidRequest(f"`{name}` must be a date such as 2026-03-31 or 2026-03-31T18:00+08:00.", field=name)
    return parsed


def _with_zone(parsed: date, *, end: bool) -> datetime:
    """Raises OverflowError for a moment that has no date in UTC, which databases could not store."""
    moment = parsed if isinstance(parsed, datetime) else datetime.combine(parsed, time(23, 59, 59) if end else time.min)
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    aware.astimezone(UTC)
    return aware
