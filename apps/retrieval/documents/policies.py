"""What may a knowledge base's policy say? Checked values, saved with an entry in the audit trail."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from apps.accounts.audit import record
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.screening import policy_of
from apps.retrieval.models import IngestPolicy, KnowledgeBase
from core.errors import InvalidRequest
from core.text import clean_text

MAX_MIN_CHARS = 100_000
MAX_WORDS, MAX_WORD_CHARS = 20_000, 200
CHOICES, SWITCHES = ("duplicates", "near_duplicates"), ("repair_encoding", "drop_poor", "drop_site_lines", "block_words")


def save_policy(kb: KnowledgeBase, changes: Mapping[str, object], caller: Caller) -> IngestPolicy:
    """Changes the parts given; the next ingestion goes by them. Raises InvalidRequest for a value that a part cannot have."""
    caller.require(Permission.PUBLISH, kb.pk)
    policy = policy_of(kb)
    for name, value in _checked(changes).items():
        setattr(policy, name, value)
    with transaction.atomic():
        policy.save()
        record(caller, "change_ingest_policy", target=kb.slug, kb=kb.slug)
    return policy


def _checked(data: Mapping[str, object]) -> dict[str, str | int | bool]:
    """The fields to set."""
    found: dict[str, str | int | bool] = {}
    for name, value in data.items():
        if name == "blocked_words":
            found[name] = _words(value)
        elif name in (*CHOICES, *SWITCHES, "min_chars"):
            if not _fits(name, value):
                raise InvalidRequest(f"`{name}` cannot be {str(value)[:40]!r}; see /api/docs/ for what it can be.", field=name)
            found[name] = value  # type: ignore[assignment]
        else:
            parts = sorted((*CHOICES, *SWITCHES, "min_chars", "blocked_words"))
            raise InvalidRequest(f"There is no part `{str(name)[:40]}`; there are {', '.join(parts)}.", field=str(name)[:40])
    return found


def _fits(name: str, value: object) -> bool:
    if name in CHOICES:
        return value in IngestPolicy.Duplicates.values
    if name in SWITCHES:
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_MIN_CHARS


def _words(value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidRequest("`blocked_words` must be a list of texts.", field="blocked_words")
    words = list(dict.fromkeys(word for one in value if (word := clean_text(one))))
    if len(words) > MAX_WORDS or any(len(word) > MAX_WORD_CHARS for word in words):
        raise InvalidRequest(f"`blocked_words` takes at most {MAX_WORDS} of {MAX_WORD_CHARS} characters.", field="blocked_words")
    return "\n".join(words)
